// Results as cards: thumbnail, time, words, why. Moving over the picture scrubs through the hit.
import { clock, element, frameUrl, NAMES, pointed } from "./api.js";

const STEPS = 8;

export function hitCard(hit, rank, media, open) {
  const shot = picture(hit.media_id, hit.time, media?.video, `${clock(hit.start)} – ${clock(hit.end)}`);
  if (media?.video) scrubbing(shot, hit);
  const reasons = hit.matches.map((match) =>
    element("span", { className: match.modality }, `${NAMES[match.modality]?.[1] ?? match.modality} ${match.score.toFixed(2)}`));
  const about = element("span", { className: "about" },
    element("span", { className: "file" }, element("b", {}, hit.name), element("span", { className: "score", title: "score" }, hit.score.toFixed(2))));
  const told = hit.matches.find((match) => match.text === hit.text);
  if (hit.text) about.append(element("span", { className: "words" }, ...pointed(hit.text, told?.marks ?? [])));
  about.append(element("span", { className: "why" }, ...reasons));
  return item(shot, about, `Hit ${rank + 1}: ${hit.name} at ${clock(hit.time)}, score ${hit.score.toFixed(2)}${hit.text ? `: ${hit.text}` : ""}`, open, !hit.sure);
}

export function mediaCard(media, open) {
  const shot = picture(media.id, media.start + media.duration * 0.3, media.video, clock(media.duration));
  if (media.video) scrubbing(shot, { media_id: media.id, start: media.start, end: media.start + media.duration, time: media.start + media.duration * 0.3 });
  const about = element("span", { className: "about" }, element("span", { className: "file" }, element("b", {}, media.name)));
  return item(shot, about, `${media.name}, ${clock(media.duration)}`, open);
}

function item(shot, about, label, open, unsure) {
  const button = element("button", { type: "button", className: "card" }, shot, about);
  button.setAttribute("aria-label", label);
  button.addEventListener("click", open);
  return element("li", { className: unsure ? "unsure" : "" }, button);
}

function picture(id, time, video, label) {
  const inside = video
    ? element("img", { src: frameUrl(id, time, 320), alt: "", loading: "lazy", decoding: "async" })
    : element("span", { className: "sound" }, "♪");
  const shot = element("div", { className: video ? "shot" : "shot heard" }, inside, element("span", { className: "at" }, label), element("i", { className: "scrub" }));
  return shot;
}

function scrubbing(shot, hit) {
  const image = shot.querySelector("img");
  const bar = shot.querySelector(".scrub");
  const still = image.src;
  let shown = -1;
  shot.addEventListener("pointermove", (event) => {
    if (event.pointerType === "touch") return;
    const box = shot.getBoundingClientRect();
    const step = Math.min(STEPS - 1, Math.floor(((event.clientX - box.left) / box.width) * STEPS));
    bar.style.width = `${((step + 1) / STEPS) * 100}%`;
    if (step === shown || step < 0) return;
    shown = step;
    const url = frameUrl(hit.media_id, hit.start + ((step + 0.5) / STEPS) * (hit.end - hit.start), 320);
    const next = new Image();
    next.onload = () => { if (shown === step) image.src = url; };
    next.src = url;
  });
  shot.addEventListener("pointerleave", () => { shown = -1; image.src = still; bar.style.width = "0"; });
}
