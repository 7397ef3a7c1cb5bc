"""What a scene is made of. Each entry is a frozen config whose ``build`` makes the module, in a file of its own."""

from scenekit.representations.dense_grid import DenseGrid
from scenekit.representations.gaussians import Gaussians
from scenekit.representations.hash_grid import HashGrid
from scenekit.representations.low_rank import LowRank
from scenekit.representations.mlp import Mlp
from scenekit.representations.rbf import RBF
from scenekit.representations.simplex_grid import SimplexGrid
from scenekit.representations.triplane import Triplane

REPRESENTATIONS = {
    "hash_grid": HashGrid,
    "dense_grid": DenseGrid,
    "gaussians": Gaussians,
    "rbf": RBF,
    "simplex_grid": SimplexGrid,
    "triplane": Triplane,
    "low_rank": LowRank,
    "mlp": Mlp,
}

__all__ = [
    "RBF",
    "REPRESENTATIONS",
    "DenseGrid",
    "Gaussians",
    "HashGrid",
    "LowRank",
    "Mlp",
    "SimplexGrid",
    "Triplane",
]
