// Marches a baked field: the same steps, lookups and shading as the toolkit's own BakedRenderer, pixel by pixel.

import { BLOCK, NETWORK_WEIGHTS } from "./manifest-volume";

export const FRAGMENT = `#version 300 es
precision highp float;
precision highp int;
precision highp sampler3D;
precision highp usampler3D;
precision highp sampler2DArray;
uniform usampler3D u_occupancy;  // 0: march here; n: nothing in the n - 1 cells around, nor here
uniform usampler3D u_blocks;
uniform sampler3D u_atlas[2];
uniform sampler2DArray u_planes;
uniform vec4 u_network[${NETWORK_WEIGHTS / 4}];
uniform vec4 u_pose[3];          // node_from_camera, without its scale
uniform vec4 u_intrinsics;
uniform vec2 u_size;
uniform float u_extent, u_near, u_contracted, u_unit, u_scale, u_inner;
uniform vec3 u_steps;            // smallest, largest, cone
uniform vec2 u_reach;
uniform ivec3 u_counts;          // cascades, occupancy cells a side, samples at most
uniform ivec2 u_sides;           // cells of the sparse grid, vertices of a plane
uniform ivec3 u_tiles;           // blocks of the atlas
uniform sampler2D u_shapes;      // depth buffer of what is opaque
uniform vec2 u_depths;           // its near and far
layout(location = 0) out vec4 color;
layout(location = 1) out vec4 depth;

const int SIDE = ${BLOCK + 1};
const float MANY = 1073741824.0;
float first, second, third;
int equal_steps, growing_steps;

void lattice(float near) {
  first = near + 0.5 * clamp(near * u_steps.z, u_steps.x, u_steps.y);
  equal_steps = int(MANY);
  growing_steps = 0;
  if (u_steps.z <= 0.0) return;
  float widening = u_steps.x / u_steps.z, widest = u_steps.y / u_steps.z, growth = log2(1.0 + u_steps.z);
  equal_steps = int(ceil(clamp((widening - first) / u_steps.x, 0.0, MANY)));
  second = first + float(equal_steps) * u_steps.x;
  growing_steps = int(ceil(max(0.0, log2(widest / second) / growth - 1e-5)));
  third = second * exp2(float(growing_steps) * growth);
}

float middle_of(int n, out float size) {
  float begin;
  int grown = n - equal_steps;
  if (grown < 0) {
    begin = first + float(n) * u_steps.x;
    size = u_steps.x;
  } else if (grown < growing_steps) {
    begin = second * exp2(float(grown) * log2(1.0 + u_steps.z));
    size = begin * u_steps.z;
  } else {
    begin = third + float(grown - growing_steps) * u_steps.y;
    size = u_steps.y;
  }
  return begin + 0.5 * size;
}

// The last step that is sure to have its middle before t.
int step_before(float t) {
  if (u_steps.z <= 0.0 || t <= second) return int(min((t - first) / u_steps.x - 0.5, MANY));
  if (t <= third) return equal_steps + int(log2(t / (second * (1.0 + 0.5 * u_steps.z))) / log2(1.0 + u_steps.z) - 0.01);
  return equal_steps + growing_steps + int((t - third) / u_steps.y - 0.5);
}

vec2 cube(vec3 o, vec3 d, float extent) {
  vec3 inverse = 1.0 / d;
  vec3 a = (-extent - o) * inverse, b = (extent - o) * inverse, low = min(a, b), high = max(a, b);
  return vec2(max(max(low.x, low.y), low.z), min(min(high.x, high.y), high.z));
}

vec3 normalized(vec3 p) {
  if (u_contracted > 0.5) {
    float inverse = inversesqrt(max(dot(p, p), 1.0));
    p *= (2.0 - inverse) * inverse;
  }
  return p / u_inner + 0.5;
}

// False where there is no block.
bool raw_values(vec3 unit, out vec4 a, out vec4 b) {
  vec3 scaled = unit * float(u_sides.x);
  vec3 cell = clamp(floor(scaled), 0.0, float(u_sides.x - 1));
  ivec3 at = ivec3(cell) / ${BLOCK};
  int number = int(texelFetch(u_blocks, at, 0).r);
  if (number == 0) return false;
  number -= 1;
  ivec3 tile = ivec3(number % u_tiles.x, number / u_tiles.x % u_tiles.y, number / (u_tiles.x * u_tiles.y));
  vec3 where = (vec3(tile * SIDE) + scaled - vec3(at * ${BLOCK}) + 0.5) / vec3(u_tiles * SIDE);
  // Bytes hold steps plus 128.
  vec4 sum_a = texture(u_atlas[0], where), sum_b = texture(u_atlas[1], where);
  float side = float(u_sides.y);
  vec3 on = (unit * (side - 2.0) + 1.0) / side;
  sum_a += texture(u_planes, vec3(on.xy, 0.0)) + texture(u_planes, vec3(on.xz, 2.0)) + texture(u_planes, vec3(on.yz, 4.0));
  sum_b += texture(u_planes, vec3(on.xy, 1.0)) + texture(u_planes, vec3(on.xz, 3.0)) + texture(u_planes, vec3(on.yz, 5.0));
  vec4 steps = vec4(u_reach.x, u_reach.yyy) / 127.0;
  a = (sum_a * 255.0 - 4.0 * 128.0) * steps;
  b = (sum_b * 255.0 - 4.0 * 128.0) * steps.y;
  return true;
}

vec3 shade(vec3 diffuse, vec4 seen, vec3 d) {
  float x = d.x, y = d.y, z = d.z, xx = x * x, yy = y * y, zz = z * z;
  float i[24];
  i[0] = diffuse.x; i[1] = diffuse.y; i[2] = diffuse.z;
  i[3] = seen.x; i[4] = seen.y; i[5] = seen.z; i[6] = seen.w;
  i[7] = 0.28209479177387814;
  i[8] = -0.4886025119029199 * y; i[9] = 0.4886025119029199 * z; i[10] = -0.4886025119029199 * x;
  i[11] = 1.0925484305920792 * x * y; i[12] = -1.0925484305920792 * y * z;
  i[13] = 0.31539156525252005 * (2.0 * zz - xx - yy);
  i[14] = -1.0925484305920792 * x * z; i[15] = 0.5462742152960396 * (xx - yy);
  i[16] = -0.5900435899266435 * y * (3.0 * xx - yy); i[17] = 2.890611442640554 * x * y * z;
  i[18] = -0.4570457994644658 * y * (4.0 * zz - xx - yy);
  i[19] = 0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy);
  i[20] = -0.4570457994644658 * x * (4.0 * zz - xx - yy);
  i[21] = 1.445305721320277 * z * (xx - yy); i[22] = -0.5900435899266435 * x * (xx - 3.0 * yy);
  vec4 hidden[4], more[4];
  for (int k = 0; k < 4; k++) hidden[k] = vec4(0.0);
  // u_network: per input, the weights to all outputs, four at a time.
  for (int j = 0; j < 23; j++) for (int k = 0; k < 4; k++) hidden[k] += i[j] * u_network[4 * j + k];
  for (int k = 0; k < 4; k++) { hidden[k] = max(hidden[k], 0.0); more[k] = vec4(0.0); }
  for (int j = 0; j < 16; j++) for (int k = 0; k < 4; k++) more[k] += hidden[j >> 2][j & 3] * u_network[92 + 4 * j + k];
  vec3 sum = vec3(0.0);
  for (int j = 0; j < 16; j++) {
    float value = max(more[j >> 2][j & 3], 0.0);
    for (int c = 0; c < 3; c++) sum[c] += value * u_network[156 + ((3 * j + c) >> 2)][(3 * j + c) & 3];
  }
  return tanh(sum);
}

void main() {
  color = vec4(0.0);
  depth = vec4(0.0);
  vec2 pixel = vec2(gl_FragCoord.x, u_size.y - gl_FragCoord.y);
  vec3 local = vec3((pixel - u_intrinsics.zw) / u_intrinsics.xy, 1.0);
  float per_z = length(local);
  vec3 d = vec3(dot(u_pose[0].xyz, local), dot(u_pose[1].xyz, local), dot(u_pose[2].xyz, local)) / per_z;
  vec3 o = vec3(u_pose[0].w, u_pose[1].w, u_pose[2].w);
  vec2 span = cube(o, d, u_extent);
  float near = max(max(span.x, 0.0), u_near), far = span.y;
  float wall = texelFetch(u_shapes, ivec2(gl_FragCoord.xy), 0).r;
  if (wall < 1.0) {
    float z = u_depths.x * u_depths.y / (u_depths.y - wall * (u_depths.y - u_depths.x));
    far = min(far, z * per_z / u_scale);
  }
  if (!(near < far)) return;
  lattice(near);
  vec3 along = mix(d, vec3(1e-9), lessThan(abs(d), vec3(1e-9)));

  float light = 1.0, distances = 0.0;
  vec3 diffuse = vec3(0.0);
  vec4 seen = vec4(0.0);
  int n = 0, samples = 0, grid = u_counts.y;
  for (int i = 0; i < 8192; i++) {
    float size, t = middle_of(n, size);
    if (t >= far || samples >= u_counts.z || light < 1e-4) break;
    vec3 p = o + t * d;
    float reach = max(max(abs(p.x), abs(p.y)), abs(p.z)), half_side = 1.0, cell = 2.0 / float(grid);
    int k = 0;
    while (k < u_counts.x && reach > half_side) { half_side *= 2.0; k++; }
    if (k >= u_counts.x) { n++; continue; }
    while (k < u_counts.x - 1 && size > cell * half_side) { half_side *= 2.0; k++; }
    vec3 in_cells = (p / half_side + 1.0) * (0.5 * float(grid));
    ivec3 at = clamp(ivec3(in_cells), 0, grid - 1);
    int empty = int(texelFetch(u_occupancy, ivec3(at.xy, at.z + k * grid), 0).r);
    if (empty > 0) {
      // To the far side of the cells that are empty here, but not to where longer steps ask a coarser cascade.
      vec3 low = vec3(at - empty + 1), high = vec3(at + empty);
      vec3 to = (mix(low, high, greaterThan(along, vec3(0.0))) - in_cells) / along;
      float leap = t + min(min(to.x, to.y), to.z) * 2.0 / float(grid) * half_side;
      if (u_steps.z > 0.0 && k < u_counts.x - 1) leap = min(leap, max(t, cell * half_side / u_steps.z));
      n = max(n + 1, step_before(leap));
      continue;
    }
    n++;
    samples++;
    vec4 a, b;
    if (!raw_values(normalized(p), a, b)) continue;
    float alpha = 1.0 - exp(-exp(a.x) / u_unit * size);
    float weight = alpha * light;
    light -= weight;
    distances += weight * t;
    diffuse += weight / (1.0 + exp(-a.yzw));
    seen += weight / (1.0 + exp(-b));
  }
  float opacity = 1.0 - light;
  if (opacity <= 0.0) return;
  color = vec4(diffuse + opacity * shade(diffuse, seen, d), opacity);
  // In units of the near plane, for half floats; blending keeps the nearer volume's where this one is transparent.
  if (opacity > 0.5) depth = vec4(distances / opacity / per_z * u_scale / u_depths.x, 0.0, 0.0, 1.0);
}`;
