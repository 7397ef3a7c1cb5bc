// Chunks of splats hold one array after another; textures hold splat after splat.
//
// base: x, y, z uint16 in the block's box; log-scales 3 x uint8; quaternion uint32 (smallest three); colour and
// opacity 4 x uint8. harmonics: int8, coefficient by coefficient, r g b, beyond the constant one.

import type { Block } from "./manifest";
import { apply, type Mat34 } from "./maths";

export interface PackedBase {
  shapes: Uint32Array; // 4 words a splat: x y | z, two scales | quaternion | third scale, block
  colors: Uint8Array; // 4 bytes a splat
  positions: Float32Array; // in the page's frame
}

/** How many texels of four words hold the harmonics of a degree. */
export const harmonicLayers = (degree: number): number => [0, 1, 2, 3][degree];

export function packBase(raw: Uint8Array, block: Block, id: number, pageFromNode: Mat34): PackedBase {
  const n = block.count;
  const view = new DataView(raw.buffer, raw.byteOffset, raw.byteLength);
  const shapes = new Uint32Array(4 * n);
  const positions = new Float32Array(3 * n);
  const step = block.upper.map((u, axis) => (u - block.lower[axis]) / 65535);
  const corner = apply(pageFromNode, block.lower);
  const turn = [0, 1, 2].flatMap((row) => step.map((length, axis) => pageFromNode[4 * row + axis] * length));
  const scales = 6 * n;
  const turns = 9 * n;
  for (let i = 0; i < n; i++) {
    const x = view.getUint16(2 * i, true);
    const y = view.getUint16(2 * (n + i), true);
    const z = view.getUint16(2 * (2 * n + i), true);
    shapes[4 * i] = x | (y << 16);
    shapes[4 * i + 1] = z | (raw[scales + i] << 16) | (raw[scales + n + i] << 24);
    shapes[4 * i + 2] = view.getUint32(turns + 4 * i, true);
    shapes[4 * i + 3] = raw[scales + 2 * n + i] | (id << 8);
    for (let row = 0; row < 3; row++)
      positions[3 * i + row] = turn[3 * row] * x + turn[3 * row + 1] * y + turn[3 * row + 2] * z + corner[row];
  }
  const colors = new Uint8Array(4 * n);
  for (let channel = 0; channel < 4; channel++)
    for (let i = 0; i < n; i++) colors[4 * i + channel] = raw[13 * n + channel * n + i];
  return { shapes, colors, positions };
}

/** Per layer, 16 bytes a splat. */
export function packHarmonics(raw: Uint8Array, count: number, degree: number): Uint8Array[] {
  const values = 3 * ((degree + 1) ** 2 - 1);
  const layers = Array.from({ length: harmonicLayers(degree) }, () => new Uint8Array(16 * count));
  for (let k = 0; k < values; k++) {
    const layer = layers[k >> 4];
    const offset = k & 15;
    for (let i = 0; i < count; i++) layer[16 * i + offset] = raw[k * count + i];
  }
  return layers;
}
