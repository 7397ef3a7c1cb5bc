// Points, lines and meshes: opaque, drawn first, so that splats and volumes stand in front of or behind them.

import { Program, type GL } from "./gl";
import type { Wanted } from "./loader";
import type { ShapeNode } from "./manifest";
import { compose, invert, type Mat34 } from "./maths";
import type { View } from "./splats";

const VERTEX = `#version 300 es
precision highp float;
uniform vec4 u_rows[3];
uniform vec4 u_intrinsics;
uniform vec2 u_size, u_depths;
uniform float u_pixels;
layout(location = 0) in vec3 a_position;
layout(location = 1) in vec4 a_color;
out vec3 v_color;
out vec3 v_point;
void main() {
  vec4 p = vec4(a_position, 1.0);
  v_point = vec3(dot(u_rows[0], p), dot(u_rows[1], p), dot(u_rows[2], p));
  v_color = a_color.rgb;
  vec2 slope = u_intrinsics.xy * v_point.xy + u_intrinsics.zw * v_point.z;
  float n = u_depths.x, f = u_depths.y;
  gl_Position = vec4(2.0 * slope.x / u_size.x - v_point.z, v_point.z - 2.0 * slope.y / u_size.y,
                     ((f + n) * v_point.z - 2.0 * f * n) / (f - n), v_point.z);
  gl_PointSize = u_pixels;
}`;

const FRAGMENT = `#version 300 es
precision highp float;
uniform int u_kind;  // 0 points, 1 lines, 2 mesh
in vec3 v_color;
in vec3 v_point;
out vec4 color;
void main() {
  float light = 1.0;
  if (u_kind == 0 && length(gl_PointCoord - 0.5) > 0.5) discard;
  if (u_kind == 2) light = 0.35 + 0.65 * abs(dot(normalize(cross(dFdx(v_point), dFdy(v_point))), normalize(v_point)));
  color = vec4(v_color * light, 1.0);
}`;

const KINDS = ["points", "lines", "mesh"];

interface Held {
  array: WebGLVertexArrayObject;
  positions: WebGLBuffer;
  colors: WebGLBuffer;
  triangles: WebGLBuffer;
  missing: number; // chunks
}

export class Shapes {
  private readonly program: Program;
  private readonly held: Held[];

  constructor(private readonly gl: GL, private readonly nodes: ShapeNode[]) {
    this.program = new Program(gl, VERTEX, FRAGMENT);
    this.held = nodes.map((node) => this.room(node));
  }

  wanted(changed: () => void): Wanted[] {
    const { gl } = this;
    return this.nodes.flatMap((node, n) =>
      node.chunks.map((chunk): Wanted => {
        const held = this.held[n];
        const [first, count] = [chunk.values.first as number, chunk.values.count as number];
        const fill = (kind: number, buffer: WebGLBuffer, at: number, bytes: Uint8Array): void => {
          gl.bindVertexArray(null);
          gl.bindBuffer(kind, buffer);
          gl.bufferSubData(kind, at, bytes);
        };
        const done = ([part]: (Uint8Array | Uint32Array)[]): void => {
          const bytes = part as Uint8Array;
          if (chunk.part === "triangles") fill(gl.ELEMENT_ARRAY_BUFFER, held.triangles, 12 * first, bytes);
          else {
            fill(gl.ARRAY_BUFFER, held.positions, 12 * first, bytes.subarray(0, 12 * count));
            fill(gl.ARRAY_BUFFER, held.colors, 4 * first, bytes.subarray(12 * count));
          }
          held.missing -= 1;
          changed();
        };
        return { chunk, job: { kind: "raw" }, seen: () => true, done };
      }),
    );
  }

  draw(view: View, hidden: (index: number) => boolean): void {
    const { gl, program } = this;
    const cameraFromPage = invert(view.pose);
    program.use();
    gl.uniform4fv(program.at("u_intrinsics"), view.intrinsics);
    gl.uniform2fv(program.at("u_size"), view.size);
    gl.uniform2fv(program.at("u_depths"), view.depths);
    gl.enable(gl.DEPTH_TEST);
    this.nodes.forEach((node, n) => {
      if (this.held[n].missing === 0 && !hidden(n)) this.drawNode(node, this.held[n], cameraFromPage);
    });
    gl.bindVertexArray(null);
    gl.disable(gl.DEPTH_TEST);
  }

  private drawNode(node: ShapeNode, held: Held, cameraFromPage: Mat34): void {
    const { gl, program } = this;
    gl.uniform4fv(program.at("u_rows"), compose(cameraFromPage, node.pageFromNode));
    gl.uniform1i(program.at("u_kind"), KINDS.indexOf(node.kind));
    gl.uniform1f(program.at("u_pixels"), node.pixels);
    gl.bindVertexArray(held.array);
    if (node.kind === "mesh") gl.drawElements(gl.TRIANGLES, 3 * node.triangles, gl.UNSIGNED_INT, 0);
    else gl.drawArrays(node.kind === "lines" ? gl.LINES : gl.POINTS, 0, node.count);
  }

  private room(node: ShapeNode): Held {
    const { gl } = this;
    const buffer = (kind: number, bytes: number): WebGLBuffer => {
      const made = gl.createBuffer()!;
      gl.bindBuffer(kind, made);
      gl.bufferData(kind, bytes, gl.STATIC_DRAW);
      return made;
    };
    const array = gl.createVertexArray()!;
    gl.bindVertexArray(array);
    const positions = buffer(gl.ARRAY_BUFFER, 12 * node.count);
    gl.enableVertexAttribArray(0);
    gl.vertexAttribPointer(0, 3, gl.FLOAT, false, 0, 0);
    const colors = buffer(gl.ARRAY_BUFFER, 4 * node.count);
    gl.enableVertexAttribArray(1);
    gl.vertexAttribPointer(1, 4, gl.UNSIGNED_BYTE, true, 0, 0);
    const triangles = buffer(gl.ELEMENT_ARRAY_BUFFER, 12 * node.triangles);
    gl.bindVertexArray(null);
    return { array, positions, colors, triangles, missing: node.chunks.length };
  }
}
