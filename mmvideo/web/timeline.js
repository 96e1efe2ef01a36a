// The line under the player: sound, score curve, shots and hits of one recording; click or arrow keys seek.
import { clock } from "./api.js";

export class Line {
  constructor(root, seek) {
    this.root = root;
    this.canvas = root.querySelector("canvas");
    this.head = root.querySelector("#head");
    this.tip = root.querySelector("#tip");
    this.media = { start: 0, duration: 1 };
    this.clear();
    new ResizeObserver(() => this.draw()).observe(root);
    matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => this.draw());
    const timeAt = (event) => {
      const box = root.getBoundingClientRect();
      return this.media.start + Math.min(1, Math.max(0, (event.clientX - box.left) / box.width)) * this.media.duration;
    };
    root.addEventListener("pointerdown", (event) => { root.setPointerCapture(event.pointerId); seek(timeAt(event)); });
    root.addEventListener("pointermove", (event) => {
      const time = timeAt(event);
      if (event.buttons & 1) seek(time);
      this.tip.hidden = false;
      this.tip.textContent = clock(time, true);
      this.tip.style.left = `${this.part(time) * 100}%`;
    });
    root.addEventListener("pointerleave", () => { this.tip.hidden = true; });
    root.addEventListener("keydown", (event) => {
      const step = { ArrowLeft: -1, ArrowRight: 1, PageDown: -10, PageUp: 10 }[event.key];
      const to = event.key === "Home" ? this.media.start : event.key === "End" ? this.media.start + this.media.duration : this.now + step;
      if (step === undefined && event.key !== "Home" && event.key !== "End") return;
      event.preventDefault();
      event.stopPropagation();
      seek(Math.min(Math.max(to, this.media.start), this.media.start + this.media.duration));
    });
  }

  clear() { this.wave = []; this.curve = { times: [], seen: [], said: [] }; this.hits = []; this.cuts = []; this.now = 0; }

  show(media) {
    this.media = media;
    this.clear();
    this.root.setAttribute("aria-valuemin", media.start.toFixed(1));
    this.root.setAttribute("aria-valuemax", (media.start + media.duration).toFixed(1));
    this.at(media.start);
    this.draw();
  }

  part(time) { return (time - this.media.start) / Math.max(this.media.duration, 1e-6); }

  at(time) {
    this.now = time;
    this.head.style.left = `${Math.min(1, Math.max(0, this.part(time))) * 100}%`;
    this.root.setAttribute("aria-valuenow", time.toFixed(1));
    this.root.setAttribute("aria-valuetext", clock(time, true));
  }

  draw() {
    const { clientWidth: width, clientHeight: height } = this.canvas;
    if (!width) return;
    const scale = devicePixelRatio || 1;
    this.canvas.width = width * scale;
    this.canvas.height = height * scale;
    const pen = this.canvas.getContext("2d");
    pen.scale(scale, scale);
    const style = getComputedStyle(document.documentElement);
    const colour = (name) => style.getPropertyValue(`--${name}`).trim();
    const x = (time) => this.part(time) * width;
    const base = height - 12;
    const y = (score) => base - score * (base - 15); // the times stand above
    this.ticks(pen, x, width, colour("soft"));
    pen.fillStyle = colour("wave");
    const loudest = Math.max(0.05, ...this.wave);
    this.wave.forEach((peak, i) => {
      const tall = (peak / loudest) * (base - 8) * 0.5;
      pen.fillRect((i / this.wave.length) * width, base / 2 - tall / 2 + 3, Math.max(1, width / this.wave.length - 0.4), tall);
    });
    pen.fillStyle = colour("line");
    for (const cut of this.cuts) pen.fillRect(x(cut), 0, 1, base);
    const { times, seen, said } = this.curve;
    if (seen.length) {
      pen.beginPath();
      pen.moveTo(x(times[0]), base);
      times.forEach((time, i) => pen.lineTo(x(time), y(seen[i])));
      pen.lineTo(width, y(seen[seen.length - 1]));
      pen.lineTo(width, base);
      pen.closePath();
      pen.fillStyle = colour("seen");
      pen.globalAlpha = 0.35;
      pen.fill();
      pen.globalAlpha = 1;
      pen.strokeStyle = colour("seen");
      pen.lineWidth = 1.5;
      pen.stroke();
    }
    pen.fillStyle = colour("said");
    for (const match of said) pen.fillRect(x(match.start), y(match.score), Math.max(2, x(match.end) - x(match.start)), 2);
    pen.fillStyle = colour("hit");
    for (const hit of this.hits) {
      pen.globalAlpha = Math.max(0.3, hit.score);
      pen.fillRect(x(hit.start), base + 3, Math.max(3, x(hit.end) - x(hit.start)), 7);
    }
    pen.globalAlpha = 1;
  }

  /** Times along the top, as many as fit, at full seconds, minutes or hours. */
  ticks(pen, x, width, colour) {
    const { start, duration } = this.media;
    const step = [1, 2, 5, 10, 15, 30, 60, 120, 300, 600, 900, 1800, 3600, 7200].find((seconds) => (duration / seconds) * 64 < width) ?? 14400;
    pen.fillStyle = colour;
    pen.font = "10px system-ui, sans-serif";
    for (let time = Math.ceil(start / step + 0.01) * step; x(time) < width - 34; time += step) pen.fillText(clock(time), x(time) + 2, 10);
  }
}
