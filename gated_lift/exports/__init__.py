"""Files out: lifted people as arrays, tables, markers and animations that other programs open."""

from gated_lift.exports.table import EXPORTS as EXPORTS
from gated_lift.exports.table import export as export
from gated_lift.exports.table import export_all as export_all
from gated_lift.exports.table import plan_all as plan_all
from gated_lift.exports.table import possible_paths as possible_paths
from gated_lift.exports.table import read_people as read_people
