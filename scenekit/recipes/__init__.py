"""Configs become objects here: the only part of the code that knows every stage."""

from scenekit.recipes.configs import Fitting, SplatFitting, VolumeFitting
from scenekit.recipes.convert import Conversion, Converting, convert, prepare_conversion, resume_conversion
from scenekit.recipes.corrections import Supervision
from scenekit.recipes.fit import FitSession, SignalFitting, fit, prepare_fit, resume_fit
from scenekit.recipes.load import load
from scenekit.recipes.train import Session, prepare, resume, train

__all__ = [
    "Conversion",
    "Converting",
    "FitSession",
    "Fitting",
    "Session",
    "SignalFitting",
    "SplatFitting",
    "Supervision",
    "VolumeFitting",
    "convert",
    "fit",
    "load",
    "prepare",
    "prepare_conversion",
    "prepare_fit",
    "resume",
    "resume_conversion",
    "resume_fit",
    "train",
]
