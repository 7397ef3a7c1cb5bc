// The same arithmetic as the toolkit's own rasterizer: EWA projection with a blur of 0.3 square pixels, slopes clamped
// 30 % of half the field of view beyond the image, alpha = min(0.99, opacity exp(-sigma)), nothing below 1/255.

export const WIDTH = 1024; // splats in a row of a table
export const GROUP = 256; // splats of an instance: one each would cost devices more than the splat

export const VERTEX = `#version 300 es
precision highp float;
precision highp int;
precision highp usampler2DArray;
uniform highp usampler2D u_shapes;
uniform highp usampler2D u_colors;
uniform highp usampler2DArray u_harmonics;
uniform highp sampler2D u_blocks;  // a row each: lower, log-scale low | step, its step | colour low, step, degree, node | harmonic scales
uniform highp sampler2D u_nodes;   // a row each: rows of camera_from_node | camera in node, near | scale, antialiased, visible
uniform vec4 u_intrinsics;
uniform vec2 u_size;
uniform vec2 u_depths;             // near and far of the depth buffer
uniform highp usampler2D u_order;
uniform int u_count;
flat out vec2 v_mean;
flat out vec3 v_conic;
flat out vec4 v_color;

const float BLUR = 0.3;
const float LEAST_COMPENSATION = 0.005;

vec4 row_of(highp sampler2D t, int row, int x) { return texelFetch(t, ivec2(x, row), 0); }

mat3 axes_of(uint q) {
  vec3 three = (vec3(q & 1023u, (q >> 10) & 1023u, (q >> 20) & 1023u) / 511.0 - 1.0) * 0.70710678;
  float last = sqrt(max(0.0, 1.0 - dot(three, three)));
  uint most = q >> 30;  // which of w x y z was the largest and is left out
  vec4 r = most == 0u ? vec4(last, three) : most == 1u ? vec4(three.x, last, three.yz)
         : most == 2u ? vec4(three.xy, last, three.z) : vec4(three, last);
  r = normalize(r);
  float w = r.x, x = r.y, y = r.z, z = r.w;
  return mat3(1.0 - 2.0 * (y * y + z * z), 2.0 * (x * y + w * z), 2.0 * (x * z - w * y),
              2.0 * (x * y - w * z), 1.0 - 2.0 * (x * x + z * z), 2.0 * (y * z + w * x),
              2.0 * (x * z + w * y), 2.0 * (y * z - w * x), 1.0 - 2.0 * (x * x + y * y));
}

uvec4 words;
ivec2 here;
int word_layer = -1;
vec3 coefficient(int k, vec4 scales) {  // k counts from 1, beyond the constant
  vec3 value;
  for (int c = 0; c < 3; c++) {
    int at = 3 * (k - 1) + c;
    if (at >> 4 != word_layer) {
      word_layer = at >> 4;
      words = texelFetch(u_harmonics, ivec3(here, word_layer), 0);
    }
    uint word = words[(at >> 2) & 3];
    value[c] = float(int(word << (24 - 8 * (at & 3))) >> 24);
  }
  return value * (k < 4 ? scales.x : k < 9 ? scales.y : scales.z);
}

vec3 harmonics(vec3 d, int degree, vec4 s) {
  float x = d.x, y = d.y, z = d.z;
  vec3 sum = 0.4886025119029199 * (-y * coefficient(1, s) + z * coefficient(2, s) - x * coefficient(3, s));
  if (degree < 2) return sum;
  float xx = x * x, yy = y * y, zz = z * z;
  sum += 1.0925484305920792 * (x * y) * coefficient(4, s);
  sum -= 1.0925484305920792 * (y * z) * coefficient(5, s);
  sum += 0.31539156525252005 * (2.0 * zz - xx - yy) * coefficient(6, s);
  sum -= 1.0925484305920792 * (x * z) * coefficient(7, s);
  sum += 0.5462742152960396 * (xx - yy) * coefficient(8, s);
  if (degree < 3) return sum;
  sum -= 0.5900435899266435 * y * (3.0 * xx - yy) * coefficient(9, s);
  sum += 2.890611442640554 * x * y * z * coefficient(10, s);
  sum -= 0.4570457994644658 * y * (4.0 * zz - xx - yy) * coefficient(11, s);
  sum += 0.3731763325901154 * z * (2.0 * zz - 3.0 * xx - 3.0 * yy) * coefficient(12, s);
  sum -= 0.4570457994644658 * x * (4.0 * zz - xx - yy) * coefficient(13, s);
  sum += 1.445305721320277 * z * (xx - yy) * coefficient(14, s);
  sum -= 0.5900435899266435 * x * (xx - 3.0 * yy) * coefficient(15, s);
  return sum;
}

void main() {
  gl_Position = vec4(2.0, 2.0, 2.0, 1.0);  // nowhere, until it is seen
  int place = gl_InstanceID * ${GROUP} + (gl_VertexID >> 2);
  if (place >= u_count) return;
  int index = int(texelFetch(u_order, ivec2(place % ${WIDTH}, place / ${WIDTH}), 0).r);
  here = ivec2(index % ${WIDTH}, index / ${WIDTH});
  uvec4 shape = texelFetch(u_shapes, here, 0);
  int block = int(shape.w >> 8);
  vec4 lower = row_of(u_blocks, block, 0), size = row_of(u_blocks, block, 1), paint = row_of(u_blocks, block, 2);
  int node = int(paint.w);
  vec4 eye = row_of(u_nodes, node, 3), kind = row_of(u_nodes, node, 4);
  vec3 mean = lower.xyz + size.xyz * vec3(shape.x & 65535u, shape.x >> 16, shape.y & 65535u);
  vec4 r0 = row_of(u_nodes, node, 0), r1 = row_of(u_nodes, node, 1), r2 = row_of(u_nodes, node, 2);
  vec3 point = vec3(dot(r0.xyz, mean) + r0.w, dot(r1.xyz, mean) + r1.w, dot(r2.xyz, mean) + r2.w);
  if (!(point.z > eye.w)) return;

  vec3 scales = exp(lower.w + size.w * vec3((shape.y >> 16) & 255u, shape.y >> 24, shape.w & 255u));
  mat3 axes = axes_of(shape.z);
  mat3 factors = transpose(mat3(r0.xyz, r1.xyz, r2.xyz)) * mat3(axes[0] * scales.x, axes[1] * scales.y, axes[2] * scales.z);
  vec2 focal = u_intrinsics.xy, center = u_intrinsics.zw;
  vec2 slopes = point.xy / point.z, margin = 0.15 * u_size / focal;
  vec2 clamped = clamp(slopes, -(center / focal + margin), (u_size - center) / focal + margin);
  mat3 rows = transpose(factors);
  vec3 u = focal.x / point.z * (rows[0] - clamped.x * rows[2]);
  vec3 v = focal.y / point.z * (rows[1] - clamped.y * rows[2]);
  float uu = dot(u, u), uv = dot(u, v), vv = dot(v, v);
  vec3 normal = cross(u, v);
  float sharp = dot(normal, normal);
  float determinant = sharp + BLUR * (uu + vv) + BLUR * BLUR;
  if (!(determinant > 0.0 && determinant < 3e38)) return;

  uvec4 rgba = texelFetch(u_colors, here, 0);
  float opacity = float(rgba.a) / 255.0;
  if (kind.y > 0.5) opacity *= sqrt(max(sharp / determinant, LEAST_COMPENSATION * LEAST_COMPENSATION));
  float reach = 2.0 * log(255.0 * opacity);
  if (!(reach > 0.0)) return;
  vec3 color = paint.x + paint.y * vec3(rgba.rgb);
  int degree = int(paint.z);
  if (degree > 0) color += harmonics(normalize(mean - eye.xyz), degree, row_of(u_blocks, block, 3));

  v_mean = focal * slopes + center;
  v_conic = vec3(vv + BLUR, -uv, uu + BLUR) / determinant;
  v_color = vec4(max(color, 0.0), opacity);

  // The quad about the ellipse alpha = 1/255, along its axes.
  float a = uu + BLUR, c = vv + BLUR, half_gap = length(vec2(0.5 * (a - c), uv));
  float angle = half_gap > 1e-6 * (a + c) ? 0.5 * atan(2.0 * uv, a - c) : 0.0;
  vec2 long_axis = vec2(cos(angle), sin(angle));
  vec2 lengths = sqrt(1.01 * reach * vec2(0.5 * (a + c) + half_gap, max(0.5 * (a + c) - half_gap, 0.9 * BLUR)));
  vec2 corner = vec2(gl_VertexID & 1, (gl_VertexID >> 1) & 1) * 2.0 - 1.0;
  vec2 pixel = v_mean + corner.x * lengths.x * long_axis + corner.y * lengths.y * vec2(-long_axis.y, long_axis.x);
  float depth = (u_depths.y + u_depths.x - 2.0 * u_depths.x * u_depths.y / point.z) / (u_depths.y - u_depths.x);
  gl_Position = vec4(pixel.x / u_size.x * 2.0 - 1.0, 1.0 - pixel.y / u_size.y * 2.0, clamp(depth, -1.0, 1.0), 1.0);
}`;

export const FRAGMENT = `#version 300 es
precision highp float;
uniform vec2 u_size;
flat in vec2 v_mean;
flat in vec3 v_conic;
flat in vec4 v_color;
out vec4 color;
void main() {
  vec2 d = vec2(gl_FragCoord.x, u_size.y - gl_FragCoord.y) - v_mean;
  float sigma = 0.5 * (v_conic.x * d.x * d.x + v_conic.z * d.y * d.y) + v_conic.y * d.x * d.y;
  float alpha = min(0.99, v_color.a * exp(-sigma));
  if (alpha < 1.0 / 255.0) discard;
  color = vec4(v_color.rgb * alpha, alpha);
}`;
