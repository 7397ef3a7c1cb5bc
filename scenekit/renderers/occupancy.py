"""Where a field is worth asking: nested cubes of cells with a running maximum of optical thickness.

Cascade k covers [-2^k, 2^k]^3 of ``scene`` with G cells a side (instant-ngp, section on occupancy grids).
"""

from __future__ import annotations

from collections.abc import Callable

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from scenekit.core.cameras import Cameras
from scenekit.core.protocols import Medium
from scenekit.core.rays import Cells, Samples
from scenekit.kernels.pack_cells import pack_cells

JUDGED = 2**18  # cells that are looked at once whether anything can be in them
# Of the running maximum, a visit. instant-ngp decays every cell by 0.95 at every update; here an update visits
# only some cells, and each of them seldom.
DECAY = 0.7
STEP = 2 * 3**0.5 / 1024  # instant-ngp's smallest step in our units: what an optical thickness is measured over
OPAQUE_ENOUGH = 0.01  # optical thickness of such a step above which a cell is marched


class OccupancyGrid(nn.Module):
    """Cells K x G^3: what is marched (``occupied``) and why (``thickness``; -1 where no camera looks).

    ``packed`` are the occupied cells as bits, found anew whenever they change: by :meth:`occupy` and where a state is
    loaded, of which they are no part.
    """

    occupied: Bool[Tensor, "K G G G"]
    packed: Int[Tensor, " W"]
    thickness: Float[Tensor, "K G G G"]

    def __init__(self, cascades: int, resolution: int) -> None:
        super().__init__()
        shape = (cascades, resolution, resolution, resolution)
        self.register_buffer("occupied", torch.ones(shape, dtype=torch.bool))
        self.register_buffer("packed", pack_cells(self.occupied), persistent=False)
        self.register_buffer("thickness", torch.zeros(shape))
        self.register_load_state_dict_post_hook(OccupancyGrid._pack)

    def occupy(self, cells: Bool[Tensor, "K G G G"]) -> None:
        """March these and no others, until the next update."""
        self.occupied.copy_(cells)
        self._pack()

    def _pack(self, *_: object) -> None:
        """Where the bits are, for recorded steps read them there."""
        self.packed.copy_(pack_cells(self.occupied))

    @property
    def marched(self) -> Cells:
        """What rays are marched through."""
        return Cells(self.occupied, self.packed)

    @property
    def cells(self) -> int:
        """How many there are, in all cascades."""
        return self.thickness.numel()

    def forget_unseen(self, cameras: Cameras) -> None:
        """Cells in no camera's view stay empty for good: nothing would ever correct what grew there.

        Cameras with lenses may look anywhere: with one among them, every cell stays.
        """
        if cameras.are_pinholes:
            self.forget(lambda centres, radius: ~_in_some_view(centres, radius, cameras))

    @torch.no_grad()
    def forget(self, nothing: Callable[[Float[Tensor, "M 3"], float], Bool[Tensor, " M"]]) -> None:
        """Cells stay empty for good where ``nothing`` is in the balls around them, by their centres and radius."""
        resolution = self.thickness.shape[1]
        for k in range(self.thickness.shape[0]):
            every = torch.arange(resolution**3, device=self.thickness.device)
            for some in every.split(JUDGED):
                centres = self._positions(some + k * resolution**3, self.thickness.new_full((len(some), 3), 0.5))
                self.thickness[k].view(-1)[some[nothing(centres, 2.0**k / resolution * 3**0.5)]] = -1.0
        self._threshold()

    @torch.no_grad()
    def update(self, field: Medium, count: int, generator: torch.Generator | None) -> None:
        """Ask the field inside ``count`` cells: half of them anywhere, half where something is.

        ``thickness <- max(decay * thickness, density * STEP)``; a cell is occupied above
        min(0.01, the mean over cascade 0). Reads nothing back from a GPU, where cells are chosen in even strides.
        """
        on_cpu = self.thickness.device.type == "cpu"
        cells = self._drawn(count, generator) if on_cpu else self._strided(count, generator)
        positions = self._positions(cells, self._uniform((len(cells), 3), generator))
        directions = torch.zeros_like(positions)
        directions[:, 2] = 1
        density, _ = field.density(Samples(positions, directions, torch.full_like(positions[:, 0], STEP)))
        flat = self.thickness.view(-1)
        before = flat[cells]
        seen = before >= 0
        flat[cells] = torch.where(seen, before * DECAY, before)
        # A cell may have been chosen twice.
        flat.scatter_reduce_(0, cells, torch.where(seen, density * STEP, before), "amax")
        self._threshold()

    def _drawn(self, count: int, generator: torch.Generator | None) -> Int[Tensor, " M"]:
        """Random cells, of those that a camera sees."""
        flat = self.thickness.view(-1)
        if count >= self.cells:
            return (flat >= 0).nonzero().squeeze(-1)
        anywhere = torch.randint(self.cells, (count // 2,), generator=generator)
        occupied = self.occupied.view(-1).nonzero().squeeze(-1)
        picks = torch.randint(max(1, len(occupied)), (count - count // 2,), generator=generator)
        chosen = torch.cat([anywhere, occupied[picks]]) if len(occupied) else anywhere
        return chosen[flat[chosen] >= 0]

    def _strided(self, count: int, generator: torch.Generator | None) -> Int[Tensor, " M"]:
        """As many as are asked for, in the order of cells, which neighbours answer together; also such that none sees.

        The strides begin at random, so that every cell has its turn.
        """
        every = torch.arange(self.cells, device=self.thickness.device)
        if count >= self.cells:
            return every
        half, starts = count // 2, self._uniform((2,), generator).double()
        anywhere = every[:half] * (self.cells / max(1, half)) + starts[0] * self.cells
        # The i-th occupied cell is where i + 1 of them have been counted.
        counted = self.occupied.view(-1).cumsum(0)
        ranks = (every[: count - half] + starts[1]) * (counted[-1].double() / (count - half))
        among = torch.searchsorted(counted, ranks.long() + 1)
        return torch.cat([anywhere.long() % self.cells, among.clamp(max=self.cells - 1)])

    def _uniform(self, shape: tuple[int, ...], generator: torch.Generator | None) -> Tensor:
        """Numbers in [0, 1), drawn where the generator is."""
        where = self.thickness.device if generator is None else generator.device
        return torch.rand(shape, generator=generator, device=where).to(self.thickness.device)

    def _positions(self, cells: Int[Tensor, " M"], inside: Float[Tensor, "M 3"]) -> Float[Tensor, "M 3"]:
        g = self.thickness.shape[1]
        z = cells % g
        y = cells // g % g
        x = cells // (g * g) % g
        half_side = torch.pow(2.0, cells // g**3)
        corner = torch.stack([x, y, z], -1)
        return ((corner + inside) * (2 / g) - 1) * half_side[:, None]

    def _threshold(self) -> None:
        mean = self.thickness[0].clamp(min=0).mean()
        # Nothing known yet: march everything a camera sees.
        known = self.thickness > mean.clamp(max=OPAQUE_ENOUGH)
        cells = torch.where(mean > 0, known, self.thickness >= 0)
        g = cells.shape[1]
        for k in range(cells.shape[0] - 1):  # a coarse cell holds what its finer cells hold
            finer = cells[k].view(g // 2, 2, g // 2, 2, g // 2, 2).any(5).any(3).any(1)
            inner = slice(g // 4, g // 4 + g // 2)
            cells[k + 1, inner, inner, inner] |= finer
        self.occupy(cells)


def _in_some_view(centres: Float[Tensor, "M 3"], radius: float, cameras: Cameras) -> Bool[Tensor, " M"]:
    """Whether the ball about each centre can project into at least one image.

    Cameras are asked in a mixed order and only about what none has seen yet: thousands then cost little more than
    the first few, which see most.
    """
    seen = torch.ones(len(centres), dtype=torch.bool, device=centres.device)
    left = torch.arange(len(centres), device=centres.device)
    camera_from_world = cameras.camera_from_world
    for index in torch.randperm(len(cameras), generator=torch.Generator().manual_seed(0)).tolist():
        camera, (width, height) = camera_from_world[index], cameras.sizes[index]
        fx, fy, cx, cy = cameras.intrinsics[index].tolist()
        x, y, z = (centres @ camera[:, :3].T + camera[:, 3]).unbind(-1)
        depth = z.clamp(min=1e-6)
        margin = radius / depth
        u, v = fx * x / depth + cx, fy * y / depth + cy
        inside = (u > -fx * margin) & (u < width + fx * margin) & (v > -fy * margin) & (v < height + fy * margin)
        unseen = ~(inside & (z > -radius) | (x * x + y * y + z * z < radius * radius))
        left, centres = left[unseen], centres[unseen]
        if not len(left):
            break
    seen[left] = False
    return seen
