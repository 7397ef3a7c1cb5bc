// WebGL2 with its errors in words.

export type GL = WebGL2RenderingContext;

export function openContext(canvas: HTMLCanvasElement): GL {
  const gl = canvas.getContext("webgl2", { alpha: false, antialias: false, depth: false, powerPreference: "high-performance" });
  if (!gl) throw new Error("This browser has no WebGL2, or it is switched off; try another browser or switch on graphics acceleration.");
  if (!gl.getExtension("EXT_color_buffer_float") && !gl.getExtension("EXT_color_buffer_half_float"))
    throw new Error("This graphics card cannot draw into half-float pictures, which splats need; try another device.");
  return gl;
}

/** Compiled while other things are done: the device is asked how that went when the program is used first. */
export class Program {
  readonly program: WebGLProgram;
  private shaders: WebGLShader[] = [];
  private works = false;
  private readonly places = new Map<string, WebGLUniformLocation | null>();

  constructor(private readonly gl: GL, vertex: string, fragment: string) {
    this.program = gl.createProgram()!;
    for (const [kind, source] of [[gl.VERTEX_SHADER, vertex], [gl.FRAGMENT_SHADER, fragment]] as const) {
      const shader = gl.createShader(kind)!;
      gl.shaderSource(shader, source);
      gl.compileShader(shader);
      gl.attachShader(this.program, shader);
      this.shaders.push(shader);
    }
    gl.linkProgram(this.program);
  }

  use(): void {
    if (!this.works) this.check();
    this.gl.useProgram(this.program);
  }

  at(name: string): WebGLUniformLocation | null {
    let place = this.places.get(name);
    if (place === undefined) {
      place = this.gl.getUniformLocation(this.program, name);
      this.places.set(name, place);
    }
    return place;
  }

  private check(): void {
    const { gl } = this;
    if (!gl.getProgramParameter(this.program, gl.LINK_STATUS) && !gl.isContextLost()) {
      const logs = [gl.getProgramInfoLog(this.program), ...this.shaders.map((shader) => gl.getShaderInfoLog(shader))];
      throw new Error(`A shader does not compile on this graphics card: ${logs.filter(Boolean).join(" ")}`);
    }
    for (const shader of this.shaders) gl.deleteShader(shader);
    this.shaders = [];
    this.works = true;
  }
}

export interface Format {
  internal: number;
  format: number;
  type: number;
}

/** An empty texture that is read texel by texel. */
export function table(gl: GL, f: Format, width: number, height: number): WebGLTexture {
  const texture = gl.createTexture()!;
  gl.bindTexture(gl.TEXTURE_2D, texture);
  gl.texStorage2D(gl.TEXTURE_2D, 1, f.internal, width, height);
  nearest(gl, gl.TEXTURE_2D);
  return texture;
}

export function nearest(gl: GL, target: number, filter: number = gl.NEAREST): void {
  gl.texParameteri(target, gl.TEXTURE_MIN_FILTER, filter);
  gl.texParameteri(target, gl.TEXTURE_MAG_FILTER, filter);
  for (const axis of [gl.TEXTURE_WRAP_S, gl.TEXTURE_WRAP_T, gl.TEXTURE_WRAP_R]) gl.texParameteri(target, axis, gl.CLAMP_TO_EDGE);
}

export function bind(gl: GL, program: Program, name: string, unit: number, target: number, texture: WebGLTexture): void {
  gl.activeTexture(gl.TEXTURE0 + unit);
  gl.bindTexture(target, texture);
  gl.uniform1i(program.at(name), unit);
}

/** A picture to draw into: colour, and a depth buffer if wanted. */
export class Target {
  color: WebGLTexture | null = null;
  depth: WebGLTexture | null = null;
  private readonly buffer: WebGLFramebuffer;
  width = 0;
  height = 0;

  constructor(private readonly gl: GL, private readonly format: Format, private readonly deep: boolean) {
    this.buffer = gl.createFramebuffer()!;
  }

  /** Bind it, at this size. */
  bind(width: number, height: number): void {
    const { gl } = this;
    gl.bindFramebuffer(gl.FRAMEBUFFER, this.buffer);
    gl.viewport(0, 0, width, height);
    if (width === this.width && height === this.height) return;
    gl.deleteTexture(this.color);
    gl.deleteTexture(this.depth);
    [this.width, this.height] = [width, height];
    gl.activeTexture(gl.TEXTURE0);
    this.color = table(gl, this.format, width, height);
    gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.COLOR_ATTACHMENT0, gl.TEXTURE_2D, this.color, 0);
    if (this.deep) {
      this.depth = table(gl, { internal: gl.DEPTH_COMPONENT24, format: gl.DEPTH_COMPONENT, type: gl.UNSIGNED_INT }, width, height);
      gl.framebufferTexture2D(gl.FRAMEBUFFER, gl.DEPTH_ATTACHMENT, gl.TEXTURE_2D, this.depth, 0);
    }
    if (gl.checkFramebufferStatus(gl.FRAMEBUFFER) !== gl.FRAMEBUFFER_COMPLETE && !gl.isContextLost())
      throw new Error("This graphics card cannot draw into half-float pictures, which splats need; try another device.");
  }
}

/** One triangle that covers the picture. */
export const COVER = `#version 300 es
void main() {
  vec2 p = vec2((gl_VertexID << 1) & 2, gl_VertexID & 2);
  gl_Position = vec4(p * 2.0 - 1.0, 0.0, 1.0);
}`;
