// Adding a folder, with the server's progress.
import { ask } from "./api.js";

const $ = (id) => document.getElementById(id);

export function setUpAdding(finished) {
  $("adder").addEventListener("click", openAdding);
  $("closeadd").addEventListener("click", () => $("adding").close());
  $("addform").addEventListener("submit", async (event) => {
    event.preventDefault();
    busy(true);
    tell("Looking for recordings …");
    try {
      const body = JSON.stringify({ paths: [$("path").value.trim()] });
      const job = await ask("/api/media", { method: "POST", headers: { "content-type": "application/json" }, body });
      watch(job.id, finished);
    } catch (error) {
      busy(false);
      tell(error.message);
    }
  });
}

export function openAdding() { $("adding").showModal(); $("path").focus(); }

function tell(text) { $("job").textContent = text; }

function busy(yes) { if (!yes) $("adder").textContent = "Add folder"; $("addgo").disabled = yes; $("progress").hidden = !yes; if (yes) $("progress").removeAttribute("value"); }

function watch(id, finished) {
  const events = new EventSource(`/api/jobs/${id}/events`);
  events.addEventListener("running", (event) => {
    const job = JSON.parse(event.data);
    if (job.total) $("progress").value = Math.min(1, job.done / job.total);
    $("adder").textContent = job.files > 1 ? `Adding ${job.file} of ${job.files}` : "Adding …"; // seen with the dialog closed
    if (job.files) tell(`${job.file} of ${job.files}: ${job.name}${job.stage ? ` — ${job.stage}` : ""}`);
  });
  events.addEventListener("done", (event) => {
    events.close();
    busy(false);
    const media = JSON.parse(event.data).report.media;
    const failed = media.filter((one) => one.outcome === "failed");
    const fresh = media.filter((one) => ["added", "updated", "moved"].includes(one.outcome)).length;
    tell(`${fresh} added, ${media.length - fresh - failed.length} already there${failed.length ? `, ${failed.length} failed: ${failed[0].message}` : ""}`);
    finished();
  });
  events.addEventListener("failed", (event) => { events.close(); busy(false); tell(JSON.parse(event.data).error); });
}
