/** Draws at most ten times a second however often it is asked, and never while nobody can see it. */
export class Pace {
  private timer: ReturnType<typeof setTimeout> | undefined;
  private last = -Infinity;
  private wanted = false;
  private seen = false;

  constructor(
    private readonly draw: () => void,
    private readonly interval = 100
  ) {}

  /** Something changed. */
  request(): void {
    this.wanted = true;
    if (this.seen && this.timer === undefined) {
      const wait = Math.max(0, this.last + this.interval - performance.now());
      this.timer = setTimeout(() => {
        this.run();
      }, wait);
    }
  }

  /** Whether somebody can see it; what changed in the dark is drawn at once. */
  set visible(visible: boolean) {
    this.seen = visible;
    if (!visible) {
      this.stop();
    } else if (this.wanted) {
      this.request();
    }
  }

  stop(): void {
    clearTimeout(this.timer);
    this.timer = undefined;
  }

  private run(): void {
    this.timer = undefined;
    this.wanted = false;
    this.last = performance.now();
    this.draw();
  }
}
