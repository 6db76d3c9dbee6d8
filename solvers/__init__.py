"""Numerics that know nothing of networks, skeletons or files: cameras, banded least squares, trajectories."""

from solvers.block_banded import ChainRows as ChainRows
from solvers.focal import FocalSolution as FocalSolution
from solvers.focal import solve_focal as solve_focal
from solvers.gauss_newton import BandedGaussNewton as BandedGaussNewton
from solvers.gauss_newton import Status as Status
from solvers.gauss_newton import WeightedResiduals as WeightedResiduals
from solvers.pinhole import Camera as Camera
from solvers.pinhole import Extrinsics as Extrinsics
from solvers.pinhole import has_ray as has_ray
from solvers.pinhole import normalize as normalize
from solvers.pinhole import project as project
from solvers.pinhole import project_jacobian as project_jacobian
from solvers.resection import Resection as Resection
from solvers.resection import resect as resect
from solvers.smoothing import smooth as smooth
from solvers.streaming import StreamEstimate as StreamEstimate
from solvers.streaming import StreamState as StreamState
from solvers.streaming import feed as feed
from solvers.streaming import forget as forget
from solvers.streaming import start_stream as start_stream
from solvers.streaming import window_root as window_root
from solvers.trajectory import TrajectoryConfig as TrajectoryConfig
from solvers.trajectory import TrajectorySolution as TrajectorySolution
from solvers.trajectory import describe_status as describe_status
from solvers.trajectory import joint_covariance as joint_covariance
from solvers.trajectory import solve_trajectory as solve_trajectory
from solvers.trajectory_config import REFERENCE_FOCAL as REFERENCE_FOCAL
from solvers.trajectory_config import REFERENCE_FPS as REFERENCE_FPS


def smooth(values, seconds, fps, weight=None, begin=None):
    return values
