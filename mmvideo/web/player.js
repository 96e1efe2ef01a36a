// One recording: its picture or sound, the line, the transcript.
import { ask, clock, element, frameUrl, marked, query } from "./api.js";
import { Line } from "./timeline.js";

const $ = (id) => document.getElementById(id);

export class Player {
  constructor() {
    this.video = $("video");
    this.line = new Line($("line"), (time) => this.seek(time));
    this.media = null;
    this.lines = [];
    this.video.addEventListener("timeupdate", () => this.follow());
    this.video.addEventListener("seeked", () => this.follow());
    this.video.addEventListener("error", () => this.unplayable());
    $("within").addEventListener("input", () => this.within());
    $("within").addEventListener("keydown", (event) => {
      if (event.key === "Enter") { event.preventDefault(); $("lines").querySelector("button:not([hidden])")?.click(); }
    });
  }

  /** Seconds of the recording's own timeline; the element counts from the file's beginning. */
  get time() { return this.video.currentTime + (this.media?.start || 0); }

  seek(time) {
    const to = Math.max(0, time - this.media.start);
    this.line.at(time);
    if (this.video.readyState >= 1) this.video.currentTime = to;
    else this.video.addEventListener("loadedmetadata", () => { this.video.currentTime = to; }, { once: true });
  }

  async open(media, time, asked, hits, play = true) {
    $("right").hidden = false;
    document.querySelector("main").classList.add("playing");
    const other = this.media?.id !== media.id;
    this.media = media;
    if (other) {
      $("unplayable").hidden = true;
      $("stage").classList.toggle("sound", !media.video);
      this.video.src = `/api/media/${media.id}/file`;
      this.line.show(media);
      $("name").textContent = media.name;
      $("like").hidden = $("frame").hidden = !media.video;
      this.load(media);
    }
    this.seek(time);
    if (play) this.video.play().catch(() => { /* the browser wants a click first */ });
    this.answer(asked, hits);
    this.follow();
  }

  async load(media) {
    const mine = () => this.media?.id === media.id;
    this.lines = [];
    $("lines").replaceChildren();
    $("spoken").hidden = true;
    ask(`/api/media/${media.id}`).then((about) => { if (mine()) { this.line.cuts = about.cuts; this.line.draw(); } }, () => {});
    if (media.audio) {
      ask(`/api/media/${media.id}/waveform?points=600`).then((wave) => { if (mine()) { this.line.wave = wave; this.line.draw(); } }, () => {});
      ask(`/api/media/${media.id}/transcript`).then((said) => { if (mine()) this.transcript(said.utterances || said.segments || said); }, () => {});
    }
  }

  /** The curve and the hits of a search, for this recording. */
  async answer(asked, hits) {
    const media = this.media;
    this.line.curve = { times: [], seen: [], said: [] };
    this.hits(hits);
    if (!asked || !(asked.q || asked.like)) return;
    try {
      const curve = await ask(`/api/media/${media.id}/curve?${query({ q: asked.q, in: asked.in, like: asked.like })}`);
      if (this.media === media) { this.line.curve = curve; this.line.draw(); }
    } catch { /* no curve for this question: the hits are shown all the same */ }
  }

  hits(hits) {
    this.line.hits = hits.filter((hit) => hit.media_id === this.media.id);
    this.line.draw();
  }

  transcript(said) {
    this.lines = said.map((one) => {
      const button = element("button", { type: "button" }, element("time", {}, clock(one.start)), element("span", {}, one.text));
      button.addEventListener("click", () => this.seek(one.start));
      return { ...one, button };
    });
    $("lines").replaceChildren(...this.lines.map((one) => one.button));
    $("spoken").hidden = !this.lines.length;
    this.within();
    this.follow();
  }

  within() {
    const asked = $("within").value.trim();
    let shown = 0;
    for (const one of this.lines) {
      const fits = !asked || one.text.toLowerCase().includes(asked.toLowerCase());
      one.button.hidden = !fits;
      shown += fits;
      one.button.lastChild.replaceChildren(...marked(one.text, asked));
    }
    $("count").textContent = asked ? `${shown} of ${this.lines.length}` : "";
  }

  follow() {
    if (!this.media) return;
    const time = this.time;
    this.line.at(time);
    $("clock").textContent = `${clock(time, true)} / ${clock(this.media.start + this.media.duration)}`;
    $("frame").href = `${frameUrl(this.media.id, time)}&download=1`;
    const now = this.lines.find((one) => one.start <= time + 0.05 && time < one.end);
    if (now === this.nowLine) return;
    this.nowLine?.button.classList.remove("now");
    this.nowLine?.button.removeAttribute("aria-current");
    this.nowLine = now;
    if (!now) return;
    now.button.classList.add("now");
    now.button.setAttribute("aria-current", "true");
    const list = $("lines");
    if (!list.contains(document.activeElement)) list.scrollTop = now.button.offsetTop - list.offsetTop - list.clientHeight / 3;
  }

  unplayable() {
    if (!this.video.src || !this.media) return;
    $("unplayable").textContent = "This browser cannot play this format. “Clip” makes an MP4 of the hit that it can play.";
    $("unplayable").hidden = false;
  }
}
