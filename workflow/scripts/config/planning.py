"""Sections that say how, where and for how much to run: they change no result."""

from __future__ import annotations

from workflow.scripts.config.section import AboveZero, Count, NotNegative, Positive, Section, Share

TRAINING = ("pretrain_base", "reasoning_sft", "safety_sft", "attack_sft")
OF_A_BENCHMARK = ("generate_samples", "score_samples")
RULES = (
    *("make_micro_data", "prepare_records", "mix_records", "prepare_benchmark", "measure_overlap"),
    *("filter_samples", "fetch_model"),
    *(*TRAINING, "derive_model", "publish_model", *OF_A_BENCHMARK, "train_judge", "fetch_judge"),
    "make_report",
)


class Resources(Section):
    """What a rule's jobs ask for, in place of the computed figures."""

    gpu: Count | None = None
    """GPUs on all nodes together"""
    nodes: Positive | None = None
    """Nodes"""
    mem_mb: Positive | None = None
    """Host memory per node"""
    runtime: Positive | None = None
    """Minutes"""
    threads: Positive | None = None
    """CPUs per node"""


class TrainingKnobs(Section):
    """How a training runs."""

    per_device_batch: Positive | None = None
    """Examples per forward pass; default, the largest that the batch allows"""
    gradient_checkpointing: bool = False
    """Recompute activations in the backward pass"""
    attention: str | None = None
    """Implementation of transformers; default, the fastest that is installed"""
    gpu_memory_gb: AboveZero | None = None
    """GiB of one GPU (an H200: 131); a training that is estimated to need more is refused"""
    save_state: bool = True
    """Keep what a preempted run goes on from, see models/state.py"""


class Runtime(TrainingKnobs):
    """How a training runs, as the scripts are told it."""

    gpus: Count = 0
    """GPUs of this node; 0 trains on the CPU"""
    cpu_threads: Positive = 1
    """Threads of a CPU run"""


class GenerationKnobs(Section):
    """How samples are generated."""

    batch_size: Positive = 64
    """Samples generated together (engine hf)"""
    gpu_memory_utilization: Share = 0.9
    """Share of a GPU's memory that vLLM reserves (on a CPU, of main memory)"""
    max_model_len: Positive | None = None
    """Longest turn in tokens"""
    max_num_seqs: Positive | None = None
    """Sequences at once"""
    tensor_parallel: Positive | None = None
    """GPUs of one copy of the model; default, the fewest that hold it"""
    enforce_eager: bool = False
    """Compile nothing"""


class GenerationRuntime(GenerationKnobs):
    """How samples are generated, as the script is told it."""

    gpus: Count | None = None
    """0: the CPU, even where there are GPUs; null: what is there"""
    tensor_parallel: Positive = 1
    """GPUs of one copy of the model"""
    data_parallel: Positive = 1
    """Copies of the model"""


class ScoringKnobs(Section):
    """How samples are scored."""

    batch_size: Positive = 8
    """Texts judged together, by a classifier"""


class ScoringRuntime(ScoringKnobs):
    """How samples are scored, as the script is told it."""

    device: str = "auto"
    """Of a classifier: auto, cpu, cuda, …"""


class Knobs(Section):
    """Knobs by rule that cannot change a result."""

    reasoning_sft: TrainingKnobs = TrainingKnobs()
    safety_sft: TrainingKnobs = TrainingKnobs()
    attack_sft: TrainingKnobs = TrainingKnobs()
    generate_samples: GenerationKnobs = GenerationKnobs()
    score_samples: ScoringKnobs = ScoringKnobs()


class Budget(Section):
    """What finished and planned results may take in all; more is an error at the start."""

    gpu_hours: AboveZero | None = None
    """Hours of one GPU"""
    disk_gb: AboveZero | None = None
    """Of results"""
    usd: AboveZero | None = None
    """For judges behind an API"""


class Hardware(Section):
    """What estimates assume where nothing was measured, in place of the defaults, which are
    those of workflow/scripts/common/cost_model.py."""

    nodes: Positive | None = None
    """Nodes that the plan's wall time is for; default 1"""
    gpus_per_node: Positive | None = None
    """GPUs of a node; default 8"""
    gpu_tflops: AboveZero | None = None
    """Peak of one GPU, bf16; default 989"""
    gpu_bandwidth_tb_s: AboveZero | None = None
    """Of one GPU's memory; default 3.35"""
    training_utilisation: Share | None = None
    """Of the peak, in training; default 0.25"""
    decoding_utilisation: Share | None = None
    """Of the bandwidth, in generation; default 0.6"""
    concurrent_sequences: Positive | None = None
    """Decoded together on one GPU; default 256"""
    budget_share: Share | None = None
    """Share of its token budget that a sample uses; default 0.5"""
    cpu_gflops: AboveZero | None = None
    """Of one core, for tiny models; default 10"""
    network_gb_s: AboveZero | None = None
    """Of downloads; default 0.1"""
    start_s: NotNegative | None = None
    """Seconds until a job computes; default 15"""
