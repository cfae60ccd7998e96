"""Pure steps: the state, what is minimised, training and evaluation. Nothing here is jitted."""

from effjax.steps.dispatch import has_convolution, make_block
from effjax.steps.evaluate import make_eval_step, make_predict
from effjax.steps.masks import path_mask
from effjax.steps.members import Together, ensemble_apply, member_of, over_members, stack_members
from effjax.steps.network import Network
from effjax.steps.objective import Objective
from effjax.steps.operations import (
    CopyPaste,
    Crop,
    CutMix,
    Erase,
    Flip,
    Jitter,
    MixUp,
    Operation,
    RandAugment,
    Shift,
    ThreeAugment,
)
from effjax.steps.optimizers import make_optimizer, make_schedule, restart
from effjax.steps.predictions import make_predictions
from effjax.steps.preflight import check_terms_act
from effjax.steps.pruning import Pruning
from effjax.steps.records import init_records, update_records
from effjax.steps.resolution import resize_state, resize_table
from effjax.steps.settings import SETTINGS, Setting
from effjax.steps.sparsity import Level, Sparsity
from effjax.steps.state import TrainState, init_state
from effjax.steps.teachers import CachedTeacher, NetworkTeacher, StreamedTeacher, pack_answers
from effjax.steps.term import Term, TermInputs
from effjax.steps.terms import OF_SEVERAL_TEACHERS, TERMS, make_term
from effjax.steps.train import make_train_step
from effjax.steps.views import View

__all__ = [
    "OF_SEVERAL_TEACHERS",
    "SETTINGS",
    "TERMS",
    "CachedTeacher",
    "CopyPaste",
    "Crop",
    "CutMix",
    "Erase",
    "Flip",
    "Jitter",
    "Level",
    "MixUp",
    "Network",
    "NetworkTeacher",
    "Objective",
    "Operation",
    "Pruning",
    "RandAugment",
    "Setting",
    "Shift",
    "Sparsity",
    "StreamedTeacher",
    "Term",
    "TermInputs",
    "ThreeAugment",
    "Together",
    "TrainState",
    "View",
    "check_terms_act",
    "ensemble_apply",
    "has_convolution",
    "init_records",
    "init_state",
    "make_block",
    "make_eval_step",
    "make_optimizer",
    "make_predict",
    "make_predictions",
    "make_schedule",
    "make_term",
    "make_train_step",
    "member_of",
    "over_members",
    "pack_answers",
    "path_mask",
    "resize_state",
    "resize_table",
    "restart",
    "stack_members",
    "update_records",
]
