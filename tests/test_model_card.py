"""The card from end to end with a network of random weights, and whether a card is of the weights at hand."""

import re
import sys

import pytest
from judged import write, write_files
from scenes import on_the_spot

from experiments import model_card
from experiments.judging import robustness, stretches
from experiments.judging.kinds import KINDS, TURNED
from experiments.judging.robustness import PARTS
from experiments.model_card import ModelCard, write_card
from gated_lift import load_lifter, pipeline
from gated_lift.networks import checkpoints
from gated_lift.networks.weights import LICENCE_SENTENCE
from gated_lift.skeleton import SKELETONS


@pytest.fixture(scope="module")
def card(tmp_path_factory):
    """The configuration of a card that is written. Roots are not the matter, and compiling is most of it."""
    folder = write_files(tmp_path_factory.mktemp("card"))
    config = ModelCard(
        (str(folder / "random" / "checkpoints"),),
        (write(folder / "exact.npz", (205, 45), ("02", "05")),),
        people=1,
        output=folder / "card" / "model_card.md",
        repository=folder / "hub",
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(stretches, "STRETCHES", (40,))
        patch.setattr(pipeline, "solve_trajectory", on_the_spot)
        patch.setattr(robustness, "TILTS", (0, 40))
        write_card(config)
    return config


def rows_below(text, heading):
    """First cells of the table below a heading."""
    table = text.split(f"### {heading}\n")[1].split("###")[0]
    return [line.split(" | ")[0].removeprefix("| ") for line in table.splitlines() if line.startswith("| ")][
        1:
    ]


def test_a_card_has_every_table(card):
    text = card.output.read_text()
    assert LICENCE_SENTENCE in text and "## Intended use" in text and "## Limits" in text
    assert "python -m experiments.model_card --exact exact.npz --weights random --people 1\n" in text
    assert rows_below(text, "By subject") == ["02", "05"]
    assert rows_below(text, "By occlusion")[:2] == ["nothing", "50 %, joints, K = 25"]
    assert rows_below(text, "By kind of motion") == ["all", *KINDS.values(), *TURNED.values()]
    formats = {name for row in rows_below(text, "By keypoint format") for name in row.split(", ")}
    assert formats == set(SKELETONS)
    # The network is not told the vertical, so that no row tells it.
    assert rows_below(text, "By camera")[0] == "0 degrees down" and "told so" not in text
    assert rows_below(text, "By what is seen") == list(PARTS)
    assert re.search(r"\| 40 degrees down \| 5.1 \| \d+ \| \d+ \|", text)
    assert "nan" not in text


def test_a_repository_is_written_beside_it(card):
    text = (card.repository / "README.md").read_text()
    matter, _, rest = text.removeprefix("---\n").partition("---\n")
    assert "license: apache-2.0" in matter and "library_name: gated-lift" in matter
    assert rest.strip() == card.output.read_text().strip()
    assert load_lifter(card.repository).network == load_lifter(card.weights[0]).network


def test_a_card_of_other_weights_is_told(card, tmp_path, monkeypatch, capsys):
    arguments = ["model_card", "--check", "--weights", *card.weights, "--output", str(card.output)]
    monkeypatch.setattr(sys, "argv", arguments)
    model_card.main()
    path = tmp_path / "card.md"
    path.write_text(card.output.read_text().replace(checkpoints.fingerprint(card.weights[0]), 64 * "0"))
    for output, wrong in ((path, "is of other weights"), (tmp_path / "none.md", "is missing")):
        monkeypatch.setattr(sys, "argv", [*arguments[:-1], str(output)])
        with pytest.raises(SystemExit) as ended:
            model_card.main()
        said = capsys.readouterr().err
        assert ended.value.code == 2 and said.count("\n") == 1
        assert f"{output}: random {wrong}: write the card again" in said


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"exact": ()}, "exact is empty: name the capture files"),
        ({"people": 0}, "people is 0"),
        ({"weights": ("plain", "causal")}, "repository takes one set of weights, weights has 2"),
    ],
)
def test_settings_that_cannot_be_meant_are_refused(card, tmp_path, changes, message):
    config = card.__class__(**(vars(card) | {"repository": tmp_path / "hub"} | changes))
    with pytest.raises(ValueError, match=message):
        write_card(config)
    with pytest.raises(ValueError, match="is not empty: give a new folder"):
        write_card(card)
