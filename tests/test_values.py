import pytest

from workbench import values
from workbench.values import ArtifactError, CorpusError, ModelError, NotFittedError, TemplateError, Unit, WorkbenchError


@pytest.mark.parametrize("error", [NotFittedError, TemplateError, CorpusError, ArtifactError, ModelError])
def test_one_except_clause_catches_every_error_of_ours(error):
    with pytest.raises(WorkbenchError, match="what came, what to do"):
        raise error("what came, what to do")


@pytest.mark.parametrize(("error", "expected"), [(TemplateError, True), (CorpusError, True), (ArtifactError, False)])
def test_errors_about_what_a_caller_typed_are_value_errors_too(error, expected):
    assert issubclass(error, ValueError) is expected


def test_a_unit_is_a_tuple_whose_text_stands_at_its_offsets():
    prompt = "a samurai, by Rembrandt"
    unit = Unit("Rembrandt", 14, 23, 3, "artist")
    assert prompt[unit.start : unit.end] == unit.text
    text, _, _, code, name = unit
    assert (text, code, name) == ("Rembrandt", 3, "artist")
    assert unit == ("Rembrandt", 14, 23, 3, "artist")


def test_the_module_says_what_it_is():
    assert values.__doc__.startswith("Values: ")
