"""Configs become objects here: the only part of the code that knows every stage."""

from scenekit.recipes.configs import Fitting, SplatFitting, VolumeFitting
from scenekit.recipes.corrections import Supervision
from scenekit.recipes.load import load
from scenekit.recipes.train import Session, prepare, resume, train

__all__ = ["Fitting", "Session", "SplatFitting", "Supervision", "VolumeFitting", "load", "prepare", "resume", "train"]
