from headgen.synth.render.bench import run


def test_bench_measures_every_stage() -> None:
    result = run(model="analytic", size=64, frames=2, rounds=1)
    assert set(result["milliseconds"]) == {"pose", "project", "raster", "shade", "truth", "flaws"}
    assert abs(sum(result["shares"].values()) - 1) < 1e-6
    assert result["frames_per_second"] > result["frames_per_second_with_flaws"] > 0
    assert result["triangles"] > 10_000
