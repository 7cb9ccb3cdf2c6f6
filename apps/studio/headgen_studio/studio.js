// Timelines follow the video of their take, and a click or an arrow key seeks in it.
(() => {
  const parts = (element) => {
    const take = element.closest?.(".take");
    return take ? [take.querySelector(".timeline"), take.querySelector("video")] : [null, null];
  };
  const follow = (video) => {
    const [timeline] = parts(video);
    if (!timeline || !video.duration) return;
    timeline.style.setProperty("--at", video.currentTime / video.duration);
    timeline.setAttribute("aria-valuenow", video.currentTime.toFixed(1));
    if (!video.paused) requestAnimationFrame(() => follow(video));
  };
  for (const name of ["play", "seeked", "pause", "loadedmetadata"]) {
    document.addEventListener(name, (event) => event.target.tagName === "VIDEO" && follow(event.target), true);
  }
  document.addEventListener("click", (event) => {
    const timeline = event.target.closest?.(".timeline");
    if (!timeline) return;
    const [, video] = parts(timeline);
    const box = timeline.querySelector(".overlay").getBoundingClientRect();
    const share = (event.clientX - box.left) / box.width;
    if (video?.duration && share >= 0) video.currentTime = Math.min(share, 1) * video.duration;
  });
  document.addEventListener("keydown", (event) => {
    const step = { ArrowLeft: -0.5, ArrowRight: 0.5 }[event.key];
    if (!step || !event.target.classList?.contains("timeline")) return;
    const [, video] = parts(event.target);
    if (!video?.duration) return;
    video.currentTime = Math.min(Math.max(video.currentTime + step, 0), video.duration);
    event.preventDefault();
  });
})();
