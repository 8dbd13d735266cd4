// What time it is: the video's, or without a video one of the page's own.

/** Follows the frames of a video: `time` is that of the frame on the screen. */
class VideoClock {
  constructor(video, onChange) {
    this.video = video;
    this.time = 0;
    this.onChange = onChange;
    for (const name of ["play", "pause", "ended", "loadedmetadata"]) {
      video.addEventListener(name, onChange);
    }
    if (video.requestVideoFrameCallback) this.#followFrames();
    else this.#followTime();
  }

  get playing() {
    return !this.video.paused && !this.video.ended;
  }

  /** Seconds; 0 until the video has loaded, or if its file does not say. */
  get duration() {
    return Number.isFinite(this.video.duration) ? this.video.duration : 0;
  }

  play() {
    // Refused if a pause comes first, or if the file cannot be played: see `error`.
    this.video.play().catch(() => {});
  }

  pause() {
    this.video.pause();
  }

  seek(time) {
    // Otherwise the frame before may be shown, whose end is rounded up.
    this.video.currentTime = time + ROUNDING;
  }

  setRate(rate) {
    this.video.playbackRate = rate;
  }

  #show(time) {
    this.time = time;
    this.onChange();
  }

  #followFrames() {
    const step = (_, frame) => {
      this.#show(frame.mediaTime);
      this.video.requestVideoFrameCallback(step);
    };
    this.video.requestVideoFrameCallback(step);
  }

  #followTime() {
    this.video.addEventListener("seeked", () => this.#show(this.video.currentTime));
    const step = () => {
      if (this.playing) this.#show(this.video.currentTime);
      requestAnimationFrame(step);
    };
    requestAnimationFrame(step);
  }
}

/** Runs by itself, where there is no video that the browser plays. */
class PlainClock {
  #rate = 1;
  #last = 0;

  constructor(duration, onChange) {
    this.time = 0;
    this.playing = false;
    this.duration = duration;
    this.onChange = onChange;
  }

  play() {
    if (this.playing) return;
    this.playing = true;
    if (this.time >= this.duration) this.time = 0;
    this.#last = performance.now();
    requestAnimationFrame(() => this.#step());
    this.onChange();
  }

  pause() {
    this.playing = false;
    this.onChange();
  }

  seek(time) {
    this.time = Math.min(Math.max(time, 0), this.duration);
    this.onChange();
  }

  setRate(rate) {
    this.#rate = rate;
  }

  #step() {
    if (!this.playing) return;
    const now = performance.now();
    const time = this.time + ((now - this.#last) / 1000) * this.#rate;
    this.#last = now;
    if (time >= this.duration) this.playing = false;
    else requestAnimationFrame(() => this.#step());
    this.seek(time);
  }
}
