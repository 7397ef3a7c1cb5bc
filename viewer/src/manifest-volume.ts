// What scene.json may say about a baked field: a sparse grid, three planes, occupancy and a small network.

import { BadManifest, choice, flag, integer, number, numbers, type Values } from "./checks";
import type { Chunk, NodeBase } from "./manifest";

export const BLOCK = 8;
export const NETWORK = [23, 16, 16, 3];
export const NETWORK_WEIGHTS = 23 * 16 + 16 * 16 + 16 * 3;

export interface VolumeNode extends NodeBase {
  kind: "volume";
  standsIn: boolean; // a coarse copy of the next node, shown until that one is complete
  extent: number;
  contracted: boolean;
  near: number;
  steps: [number, number, number]; // smallest, largest, cone
  maxSamples: number;
  unit: number; // length in which density is measured
  reach: [number, number]; // of the bytes of density and features
  cascades: number;
  grid: number; // occupancy cells along a side
  resolution: number; // cells of the sparse grid along a side
  atlas: [number, number, number]; // blocks along each axis of the texture
  planes: number; // vertices along a side of a plane
}

const PARTS = ["occupancy", "blocks", "atlas", "planes", "network"] as const;

export function parseVolume(n: Values, where: string, base: NodeBase): VolumeNode {
  const volume: VolumeNode = {
    ...base,
    kind: "volume",
    standsIn: flag(n.stands_in, `${where}.stands_in`),
    extent: number(n.extent, `${where}.extent`, 1e-6, 1e6),
    contracted: flag(n.contracted, `${where}.contracted`),
    near: number(n.near, `${where}.near`, 0, 1e6),
    steps: numbers(n.steps, `${where}.steps`, 3, 0, 1e6) as VolumeNode["steps"],
    maxSamples: integer(n.max_samples, `${where}.max_samples`, 1, 4096),
    unit: number(n.unit, `${where}.unit`, 1e-9, 1e6),
    reach: numbers(n.reach, `${where}.reach`, 2, 0, 100) as VolumeNode["reach"],
    cascades: integer(n.cascades, `${where}.cascades`, 1, 12),
    grid: integer(n.grid, `${where}.grid`, 1, 256),
    resolution: integer(n.resolution, `${where}.resolution`, BLOCK, 1024),
    atlas: numbers(n.atlas, `${where}.atlas`, 3, 1, 227).map(Math.round) as VolumeNode["atlas"],
    planes: integer(n.planes, `${where}.planes`, 4, 4096),
  };
  const [smallest, largest, cone] = volume.steps;
  if (!(smallest > 0 && largest >= smallest && cone <= 1)) throw new BadManifest(`${where}.steps: wanted 0 < smallest <= largest and a cone up to 1`);
  if (volume.resolution % BLOCK) throw new BadManifest(`${where}.resolution: wanted a multiple of ${BLOCK}`);
  for (const c of base.chunks) check(volume, c, where);
  return volume;
}

/** The layers of a part that chunks fill, and the bytes of each. */
export function layers(volume: VolumeNode, part: string): [count: number, bytes: number] {
  const [nx, ny, nz] = volume.atlas;
  const side = BLOCK + 1;
  const sizes: Record<string, [number, number]> = {
    occupancy: [volume.cascades * volume.grid, volume.grid ** 2],
    blocks: [volume.resolution / BLOCK, 2 * (volume.resolution / BLOCK) ** 2],
    atlas: [2 * nz * side, 4 * nx * side * ny * side],
    planes: [6 * volume.planes, 4 * volume.planes],
    network: [1, 4 * NETWORK_WEIGHTS],
  };
  return sizes[part];
}

function check(volume: VolumeNode, c: Chunk, where: string): void {
  const part = choice(c.part, `${where}: part of ${c.file}`, PARTS);
  const [most, bytes] = layers(volume, part);
  const first = integer(c.values.first, `${where}: first of ${c.file}`, 0, most);
  const count = integer(c.values.count, `${where}: count of ${c.file}`, 1, most - first);
  if (c.rawBytes !== count * bytes) throw new BadManifest(`${where}: ${c.file} has the wrong size`);
}
