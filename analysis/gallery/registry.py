"""The figures, one entry each, in the paper's order (NeurIPS version of arXiv:2406.14532)."""

from __future__ import annotations

from analysis.gallery import (
    both_kinds,
    dials,
    likelihood,
    model_sizes,
    positives,
    q_values,
    rounds,
    spurious,
    star_graph,
    theorem,
)
from analysis.gallery.costs import costs_of
from analysis.gallery.entries import PaperFigure, Runs
from analysis.gallery.flow import FLOW
from analysis.gallery.pit_rules import PIT_RULES, ROLLED_OUT_BY
from analysis.gallery.shifts import curves_of
from analysis.gallery.theorem import THEOREM

STUDY = Runs("study", others=("reproduce",), fresh="reproduce", quick="quick")
FREE_ORDER = Runs("free_order", quick="quick_free_order")  # the second data set: steps may come in any order
CAPPED = "RFT, max_solutions_per_problem={}".format
DISTANT = {"Distant pairs beat arbitrary ones": ("DPO, distant pairs", "DPO")}

# drawn of both data sets
OF_RFT = curves_of("RFT", claims=("RFT is worth 2x SFT's data", "RFT is worth more than 1x"))
OF_NEGATIVES = curves_of("DPO", "DPO, distant pairs", "per-step DPO", claims=(
    "per-step DPO is worth 8x SFT's data", "per-step DPO is worth more than 1x",
    "Per-step DPO beats standard DPO", "Standard DPO fails: SFT beats it",
))  # fmt: skip

FIGURES: tuple[PaperFigure, ...] = (
    PaperFigure(
        "1", "flow", "The flow of data: who hands what to whom.", view=FLOW,
        plans=("experiment=study", "arm=sft,rft,dpo,step_dpo"),
    ),
    PaperFigure(
        "2a, 2b", "sft_and_rft", "Error of SFT and of RFT against the number of problems, and RFT's shift; the paper "
        "has 2x.", STUDY,
        OF_RFT,
    ),
    PaperFigure(
        "2a, 2b", "sft_and_rft_free_order", "The same on a second data set, where steps may come in any order.",
        FREE_ORDER, OF_RFT,
    ),
    PaperFigure(
        "2c", "more_positives", "Error against the number of self-generated positives a problem; the paper's "
        "flattens or rises.", positives.POSITIVES, positives.VIEW,
    ),
    PaperFigure(
        "3", "likelihood_under_base", "Negative log-likelihood under the base model of the teacher's and of "
        "self-generated solutions.", likelihood.LIKELIHOOD, likelihood.VIEW,
    ),
    PaperFigure(
        "4", "spurious_steps", "Error of RFT on solutions of which a fraction has a spurious step.", spurious.SPURIOUS,
        spurious.VIEW,
    ),
    PaperFigure(
        "5a, 5b", "negatives", "Error of SFT, DPO, DPO on distant pairs and per-step DPO against the number of "
        "problems, and their shifts; the paper has 8x for per-step DPO.", STUDY,
        OF_NEGATIVES,
    ),
    PaperFigure(
        "5a, 5b", "negatives_free_order", "The same on a second data set, where steps may come in any order.",
        FREE_ORDER,
        OF_NEGATIVES,
    ),
    PaperFigure(
        "5c", "negatives_constructed", "Ways to construct negatives: arbitrary pairs, distant pairs, pairs at a random "
        "step and at the first pit.", STUDY,
        curves_of("DPO", "DPO, distant pairs", "random-step DPO", "per-step DPO", claims=(
            "Per-step DPO beats DPO on distant pairs", "Pairs at the pit beat pairs at a random step",
        ), better=DISTANT),
    ),
    PaperFigure(
        "5c", "negatives_constructed_free_order", "Ways to construct negatives where steps may come in any order, both "
        "of the paper's pairs at the pit among them.", FREE_ORDER,
        curves_of("DPO", "DPO, distant pairs", "random-step DPO", "DPO to the pit", "per-step DPO", claims=(
            "Per-step DPO beats DPO on distant pairs", "Pairs at the pit beat pairs at a random step",
            "Pairs at the pit beat whole solutions cut off there",
        ), better=DISTANT),
    ),
    PaperFigure(
        "7", "q_at_each_step", "Q at each step under each trained policy.", q_values.Q_VALUES, q_values.VIEW,
    ),
    PaperFigure(
        "8", "star_graph", "Star graphs: SFT's loss, the critical token, and test error of per-step DPO and of SFT "
        "continued from under-trained checkpoints and an over-trained one.", star_graph.STAR_GRAPH, star_graph.VIEW,
    ),
    PaperFigure(
        "9", "one_solution_each", "One self-generated solution a problem against one of the teacher's.",
        positives.POSITIVES,
        curves_of(
            CAPPED(1),
            names={CAPPED(1): "RFT, one solution each"},
            better={"One self-generated solution a problem beats one of the teacher's": (CAPPED(1), "SFT")},
        ),
    ),
    PaperFigure(
        "10", "advantages_of_both", "Advantages from negatives alone and from both: error of the estimate, and test "
        "error.", both_kinds.BOTH_KINDS, both_kinds.VIEW,
    ),
    PaperFigure(
        "11", "advantage_filtered", "RFT on responses whose steps have high advantages, right or wrong, beside RFT.",
        STUDY,
        curves_of("RFT", "advantage-filtered RFT", claims=("Advantage-filtered RFT beats RFT",)),
    ),
    PaperFigure(
        "11", "advantage_filtered_free_order", "Both accounts of the advantage filter, by response and by step, beside "
        "RFT where steps may come in any order.", FREE_ORDER,
        curves_of("RFT", "advantage-filtered RFT", "good steps only", claims=(
            "Advantage-filtered RFT beats RFT", "Good steps beat good solutions",
        ), better={"Good steps beat RFT (asked when the results were seen)": ("good steps only", "RFT")}),
    ),
    PaperFigure(
        "theorem 6.1", "theorem", "Per-step DPO with advantage-sampled pairs and advantage-weighted regression reach "
        "one policy: distance against the number of pairs.", THEOREM, theorem.VIEW,
    ),
    PaperFigure(
        "beyond the paper", "data_and_compute", "What an arm is worth in problems, beside what it is worth in compute.",
        STUDY, costs_of("RFT", "DPO", "per-step DPO"),
    ),
    PaperFigure(
        "beyond the paper", "rollouts_a_prefix", "What more rollouts a prefix gain per-step DPO, and cost.",
        dials.ROLLOUTS, dials.OF_ROLLOUTS,
    ),
    PaperFigure(
        "beyond the paper", "pit_rules", "Which step of a wrong solution is charged, and what finding it costs.",
        PIT_RULES.runs, PIT_RULES.view(),
    ),
    PaperFigure(
        "beyond the paper", "rollout_policies", "Whose rollouts tell which step is charged: the learner's, another SFT "
        "policy's or the base model's.", ROLLED_OUT_BY.runs, ROLLED_OUT_BY.view(),
    ),
    PaperFigure(
        "beyond the paper", "rounds", "Expert iteration: several rounds, each on solutions of the policy before it.",
        rounds.ROUNDS, rounds.VIEW,
    ),
    PaperFigure(
        "beyond the paper", "model_sizes", "What per-step DPO is worth at three widths of the model.",
        model_sizes.MODEL_SIZES, model_sizes.VIEW,
    ),
    PaperFigure(
        "beyond the paper", "negatives_a_positive", "What more negatives for a positive gain per-step DPO.",
        dials.PAIRS, dials.OF_PAIRS,
    ),
    PaperFigure(
        "beyond the paper", "negatives_of_others", "What else is made of the same samples: NFT, W-REINFORCE and "
        "offline GRPO beside RFT, DPO and per-step DPO.", Runs("negatives", quick="quick"),
        curves_of("RFT", "DPO", "per-step DPO", "NFT", "W-REINFORCE", "GRPO", claims=(
            "Negatives pay by likelihood (NFT)", "Negatives pay by policy gradient (W-REINFORCE)",
            "Per-step pairs beat the group's advantages (GRPO)",
        )),
    ),
)  # fmt: skip
