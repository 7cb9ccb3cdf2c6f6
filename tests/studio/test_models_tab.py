"""The Models tab says what the doctor says, and says it safely."""

from __future__ import annotations

from headgen_studio.models_tab import _fetchable, _summary, _table

from headgen import hub
from headgen.doctor import doctor
from headgen.hub import Model, ModelTable, WeightFile


def test_the_summary_has_the_doctors_words():
    report = doctor()
    shown = _summary(report)
    for name in ("device", "precision", "processor"):
        text = next(f.text for f in report.findings if (f.section, f.name) == ("machine", name))
        assert text in shown
    assert all(command in shown for command in report.ready)


def test_every_model_stands_with_size_state_and_licence():
    table = hub.list_models()
    shown = _table(table)
    for model in table.models:
        assert f"<b>{model.name}</b>" in shown
    assert "10.9 MB" in shown and "Apache-2.0" in shown


def test_a_model_that_is_damaged_says_what_to_do_and_no_text_is_taken_for_html():
    model = Model(
        "odd", "<b>for</b> tests", "see <a href='x'>there</a>", files=(WeightFile("w", "0", 2_500_000),),
        source="get <it>",
    )  # fmt: skip
    shown = _table(ModelTable((model,), ("w: is <damaged>",)))
    assert "<b>for" not in shown and "<a href" not in shown and "get &lt;it&gt;" in shown
    assert "2.5 MB" in shown and '<span class="wrong">w: is &lt;damaged&gt;</span>' in shown


def test_only_models_that_lie_somewhere_can_be_fetched():
    names = _fetchable()
    assert "ict-facekit" in names and "fsrt-small" not in names
