"""What `tradeoff.json` holds: the report, the rows of its tables, and the numbers in them.

Shares, and differences of shares, are fractions from 0 to 1; lengths are tokens; intervals are
95 %. None is what cannot be said. `lrm`, `alignment`, `benchmark` and `scorer` are names of the
experiment's file; `status` is a key of `status.WORDS`; `seed` is a training seed, `hub` for a
ready-made model, `mean` for the mean over all seeds, or `mean_ok` for that over those whose
training did not fail.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NotRequired, TypedDict

if TYPE_CHECKING:
    from workflow.scripts.score.ngram_judge import EvaluatedRows


class Interval(TypedDict):
    """A number with its interval."""

    estimate: float | None
    low: float | None
    """Over items"""
    high: float | None
    all_low: NotRequired[float | None]
    """Over training seeds and items together; None with fewer than three seeds"""
    all_high: NotRequired[float | None]


class SizedInterval(Interval):
    """A number with its interval and what it rests on."""

    n: int
    """Items, of a metric samples"""


class SpreadOverSeeds(TypedDict):
    """The spread of a number over training seeds; None for a single one."""

    seed_sd: float | None
    """Standard deviation"""
    seed_low: float | None
    """Of the interval of the seeds' mean, the same items"""
    seed_high: float | None


class SpreadOverBoth(TypedDict):
    """The spread of a number over training seeds and items together."""

    all_low: float | None
    all_high: float | None
    seed_share: float | None
    """What of the variance comes from the seeds"""


class MetricValue(SizedInterval, SpreadOverSeeds):
    """A metric of a model, on a benchmark or over benchmarks."""

    n_valid: int
    """Samples with a verdict"""
    items: int
    seed_share: NotRequired[float | None]
    """Of a mean over benchmarks: see `SpreadOverBoth`"""


class DifferenceValue(SizedInterval):
    """A difference with its two-sided p of "no difference"."""

    p: float | None


class FamilyTest(TypedDict):
    """A test of a family of tests."""

    p: float | None
    p_holm: NotRequired[float | None]
    """Holm's, over the family"""
    family: NotRequired[int]
    """How many tests the family has"""


class ChangeValue(SizedInterval, FamilyTest, SpreadOverSeeds):
    """A metric's difference between two models, paired by item and seed."""

    seed_share: float | None
    """See `SpreadOverBoth`"""


class Tax(TypedDict, total=False):
    """The safety tax of an aligned model; empty where accuracy was not compared with the LRM's."""

    points: DifferenceValue
    """Reasoning accuracy lost; positive is a cost"""
    harm_removed: DifferenceValue
    """Harmful score lost; positive is safer"""
    per_harm_point: SizedInterval
    """Accuracy lost for each point of harm removed"""


class ModelName(TypedDict):
    """What a model is called by, beside its LRM."""

    role: str
    """base, lrm or aligned"""
    alignment: str | None


class MarkedModel(ModelName):
    """A model, and what went wrong with the training of one of its seeds at least."""

    status: str


class ShownModel(MarkedModel):
    """A model as it is shown beside an LRM."""

    lrm: str


class TradeoffRow(ShownModel):
    """A model at an epoch, of a seed or over seeds."""

    name: str
    """The base's or LRM's"""
    epoch: int | None
    """Of safety training: 0 is the LRM, None a base"""
    final: bool
    checkpoint: str
    seed: str
    n_seeds: int
    status_reason: str
    metrics: dict[str, MetricValue]
    """By `METRIC` over its benchmarks, `METRIC/BENCHMARK`, `METRIC/BENCHMARK@FURTHER_SCORER`"""
    states: dict[str, dict[str, int]]
    """{benchmark/scorer: {state: samples}}"""
    change: dict[str, ChangeValue]
    """By metric: aligned - LRM; empty for other roles"""
    tax: Tax
    cost: dict[str, float]
    """What alignment took, see `Costs.of`; empty where a manifest is gone"""


class DurabilityRow(ShownModel):
    """An aligned model that was tuned on, at a step, of a seed or over seeds."""

    attack: str
    """The entry of durability that it was tuned on by"""
    step: int | None
    """Optimizer steps; 0 is the aligned model"""
    seed: str
    n_seeds: int
    metrics: dict[str, MetricValue]
    change: dict[str, Interval]
    """By metric: against step 0, empty at step 0"""


class AlignmentPair(TypedDict):
    """Two alignments of an LRM against each other."""

    lrm: str
    first: str | None
    second: str | None
    status: list[str]
    """Of both"""
    change: dict[str, ChangeValue]
    """By metric: second - first"""


class FrontierMethod(ShownModel):
    """The LRM or an aligned model, at the final epoch, among the methods of a frontier."""

    metrics: dict[str, Interval]
    """By measure"""
    non_dominated: bool
    share: float
    """Of the resamples in which it is not dominated"""
    dominated_by: list[str]


class Hypervolume(Interval):
    """The share of all possible values that some method is at least as good as."""

    reference: dict[str, float]
    """{measure: the worst that it can be}"""


class DominanceTest(FamilyTest):
    """A test of whether a method dominates another."""

    first: str
    second: str
    change: dict[str, Interval]
    """By measure: by how much the first is better"""


class Frontier(TypedDict):
    """The frontier of an LRM's methods."""

    lrm: str
    measures: list[str]
    seeds: list[str]
    """Those that all methods have"""
    over_seeds: bool
    """Whether the resamples draw seeds, too"""
    resamples: int
    margin: float
    """What "at least as good" allows in a test: a fraction"""
    methods: list[FrontierMethod]
    hypervolume: Hypervolume
    tests: list[DominanceTest]


class CategoryHarm(ShownModel, SizedInterval):
    """A model's harmful score on the prompts of a category."""

    benchmark: str
    category: str


class CleanHarm(ShownModel):
    """The harmful score without the prompts that the alignment was trained on."""

    benchmark: str
    removed: int
    """Prompts left out"""
    lrm_score: SizedInterval
    aligned_score: SizedInterval


class PublishedRow(TypedDict):
    """A published value beside ours."""

    model: str
    """base/NAME, lrm/NAME or aligned/LRM/ALIGNMENT"""
    role: str
    name: str
    alignment: str | None
    epoch: int | None
    """None is the final one"""
    metric: str
    status: str
    published: float
    published_n: int | None
    source: str
    ours: MetricValue | None
    difference: DifferenceValue | None
    """Ours - published, where the published n is known"""
    compatible: bool | None


class Agreement(MarkedModel, SizedInterval):
    """How often two scorers judge a model's samples the same; `role` is `all` for all models."""

    lrm: str | None
    benchmark: str
    first: str
    second: str
    items: int
    kappa: float | None
    """Cohen's"""
    only_first: int
    """Samples that only the first flags"""
    only_second: int


class SmallestLoss(TypedDict):
    """The smallest loss that a benchmark's items find with 80 % power; None where none would be."""

    items: int
    unpaired: float | None
    paired_10_percent_differ: float | None
    """Where two models differ on 10 % of the items"""
    paired_20_percent_differ: float | None


class Detectable(SmallestLoss):
    """What a benchmark of a finished run could find."""

    lrm: str
    benchmark: str
    differ: NotRequired[float]
    """Share of the items on which the LRM and an aligned model did, mean over the alignments"""
    paired_as_measured: NotRequired[float | None]
    """The smallest paired change at that share"""


class Stability(ShownModel):
    """How many samples a prompt an interval needs, of a model on a benchmark."""

    benchmark: str
    metric: str
    k: int
    """Samples that each prompt has"""
    width: float
    """Of the interval with k samples"""
    narrowest: float
    """Of that with any number of samples"""
    wanted: float
    samples_for_it: int | None
    """For the wanted width; None where no number is enough"""


class SharedPrompts(TypedDict):
    """How many prompts of a benchmark are in a training set."""

    count: int
    share: float | None
    low: float | None
    high: float | None


class Overlap(TypedDict):
    """What a training set and a benchmark share: letter by letter, but for case and punctuation, or
    by some words in a row."""

    train: str
    benchmark: str
    n_train: int
    n_benchmark: int
    exact: SharedPrompts
    normalised: SharedPrompts
    ngram: SharedPrompts


class MeasuredBenchmark(TypedDict):
    """A benchmark that was measured."""

    kind: str
    scorers: list[str]
    """The one that counts first"""
    repeated_prompts: int | None


class DescribedJudge(TypedDict, total=False):
    """What a score or its own `judge.json` says of a judge; each type has further keys."""

    type: str
    weights_sha256: str
    """Of a judge that was trained here"""
    test: EvaluatedRows
    """Likewise: what it got right on held-out answers"""


class ModelOrigin(TypedDict):
    """Where the model of a run comes from."""

    run: str
    source: str
    weights_sha256: str
    """Of the final checkpoint"""
    data: str
    """Training sets with their sizes"""
    parent: str
    status: str
    seed: int | None
    gpu_hours: float
    """Of its own training"""


class SelectionCandidate(TypedDict):
    """A candidate of a selected model."""

    run: str
    """The selected model's"""
    rule: str
    candidate: str
    checkpoint: str
    figures: dict[str, float | None]
    """{metric: percent on the development benchmarks}"""
    chosen: bool


class DataSource(TypedDict):
    """Where a training set or benchmark comes from."""

    source: str
    revision: str | None


class DataOrigin(DataSource):
    """A training set or benchmark that was used."""

    name: str
    use: str
    """training or benchmark"""
    n: int | None
    sha256: str | None


class RecipeDifferences(TypedDict):
    """The keys in which the recipes of the models shown differ."""

    names: list[str]
    """Of the recipes"""
    rows: list[list[str]]
    """Each a key, and its value in each recipe as JSON"""


# As `inputs.Adopted` is written.
AdoptedResult = TypedDict(
    "AdoptedResult", {"name": str, "from": str, "by": str, "when": str, "reason": str}
)


class Origins(TypedDict):
    """Where the numbers come from."""

    models: list[ModelOrigin]
    selections: list[SelectionCandidate]
    data: list[DataOrigin]
    recipes: RecipeDifferences
    adopted: list[AdoptedResult]


class InCommon(TypedDict):
    """What the runs have in common, from the manifests of models and samples."""

    git_commits: list[str]
    versions: dict[str, list[str]]
    """{package: versions}"""
    decoding: dict[str, dict[str, Any] | list[dict[str, Any]]]
    """{benchmark: settings of `Decoding`, a list of them where the runs differ}"""
    engines: dict[str, str | list[str]]
    """Likewise"""
    hardware: list[str]
    gpu_hours_training: float
    gpu_hours_generation: float


class Provenance(InCommon):
    """What the report was made from."""

    score_files: int
    verdicts_sha256: str


class Report(TypedDict):
    """The whole report."""

    format: int
    description: str
    seeds: list[int]
    titles: dict[str, dict[str, str]]
    """{section of the experiment: {name: what people read}}"""
    headline: str
    caveats: str
    missing: list[str]
    """Of a run that is not finished"""
    benchmarks: dict[str, MeasuredBenchmark]
    rows: list[TradeoffRow]
    alignments: list[AlignmentPair]
    frontier: list[Frontier]
    durability: list[DurabilityRow]
    categories: list[CategoryHarm]
    clean: list[CleanHarm]
    published: list[PublishedRow]
    overlap: list[Overlap]
    ngram: int | None
    """Words in a row that are an overlap"""
    judges: dict[str, DescribedJudge]
    """By benchmark/scorer, or by judge where no score has used it"""
    agreement: list[Agreement]
    detectable: list[Detectable]
    stability: list[Stability]
    methods: list[str]
    provenance: Provenance
    origins: Origins
    limits: list[str]
