// Vectors and matrices as plain arrays. Matrices are row-major; a rigid or similar transform is 3x4, 12 numbers.

export type Vec3 = [number, number, number];
export type Mat34 = number[];

export const add = (a: Vec3, b: Vec3): Vec3 => [a[0] + b[0], a[1] + b[1], a[2] + b[2]];
export const sub = (a: Vec3, b: Vec3): Vec3 => [a[0] - b[0], a[1] - b[1], a[2] - b[2]];
export const mul = (a: Vec3, s: number): Vec3 => [a[0] * s, a[1] * s, a[2] * s];
export const dot = (a: Vec3, b: Vec3): number => a[0] * b[0] + a[1] * b[1] + a[2] * b[2];
export const length = (a: Vec3): number => Math.hypot(a[0], a[1], a[2]);
export const cross = (a: Vec3, b: Vec3): Vec3 => [
  a[1] * b[2] - a[2] * b[1],
  a[2] * b[0] - a[0] * b[2],
  a[0] * b[1] - a[1] * b[0],
];
export function unit(a: Vec3): Vec3 {
  const l = length(a);
  return l > 0 ? mul(a, 1 / l) : [0, 0, 1];
}

/** Rodrigues' rotation of `v` about the unit vector `axis`. */
export function turn(v: Vec3, axis: Vec3, angle: number): Vec3 {
  const c = Math.cos(angle);
  return add(add(mul(v, c), mul(cross(axis, v), Math.sin(angle))), mul(axis, dot(axis, v) * (1 - c)));
}

export const column = (m: Mat34, i: number): Vec3 => [m[i], m[4 + i], m[8 + i]];

export function fromColumns(x: Vec3, y: Vec3, z: Vec3, t: Vec3): Mat34 {
  return [x[0], y[0], z[0], t[0], x[1], y[1], z[1], t[1], x[2], y[2], z[2], t[2]];
}

/** The point `m p`. */
export function apply(m: Mat34, p: Vec3): Vec3 {
  return [
    m[0] * p[0] + m[1] * p[1] + m[2] * p[2] + m[3],
    m[4] * p[0] + m[5] * p[1] + m[6] * p[2] + m[7],
    m[8] * p[0] + m[9] * p[1] + m[10] * p[2] + m[11],
  ];
}

/** `a` after `b`. */
export function compose(a: Mat34, b: Mat34): Mat34 {
  const out: number[] = [];
  for (let r = 0; r < 12; r += 4)
    for (let c = 0; c < 4; c++)
      out.push(a[r] * b[c] + a[r + 1] * b[4 + c] + a[r + 2] * b[8 + c] + (c === 3 ? a[r + 3] : 0));
  return out;
}

/** The inverse of a rotation, an equal scale along all axes and a translation. */
export function invert(m: Mat34): Mat34 {
  const s = 1 / (m[0] * m[0] + m[4] * m[4] + m[8] * m[8]);
  const [x, y, z, t] = [column(m, 0), column(m, 1), column(m, 2), column(m, 3)];
  const rows = [mul(x, s), mul(y, s), mul(z, s)];
  return rows.flatMap((row) => [...row, -dot(row, t)]);
}

/** A camera at `eye` that looks at `target`: OpenCV axes (x right, y down, z forward) as world_from_camera. */
export function lookAt(eye: Vec3, target: Vec3, up: Vec3): Mat34 {
  const forward = unit(sub(target, eye));
  let right = cross(forward, up);
  if (dot(right, right) < 1e-12) right = cross(forward, [up[2], up[0], up[1]]);
  right = unit(right);
  return fromColumns(right, cross(forward, right), forward, eye);
}
