/** Shows a job as it moves: a bar on a terminal, plain lines elsewhere (a log, a pipe). Promises: plain lines come at each
 *  change of phase, else at most every 5 s and only for a further tenth or a further minute; both go to stderr only. */

import type { JobValue } from '../../daemon/protocol/values.ts';
import { printable } from './text.ts';
import { bytesText, durationText, rateText } from './units.ts';

export interface Progress {
  update(job: JobValue): void;
  /** Takes the bar off the screen. Calling it twice is fine. */
  end(): void;
}

const betweenLinesMs = 5000;
const signOfLifeMs = 60_000;

const percentOf = (job: JobValue): number =>
  job.bytes_total > 0 ? Math.min(100, Math.floor((job.bytes_done / job.bytes_total) * 100)) : 0;

/** "queued, waiting for memory", or the phase the job is in. */
function phaseText(job: JobValue): string {
  const phase = job.phase === '' ? job.status : job.phase;
  return printable(job.waiting_for === null ? phase : `${phase}, waiting for ${job.waiting_for}`);
}

/** Everything about the job but its bar, in the order: how much, how fast, how long. */
function figures(job: JobValue): string[] {
  if (job.bytes_total <= 0) return [];
  return [
    `${percentOf(job)} % of ${bytesText(job.bytes_total)}`,
    ...(job.bytes_per_second > 0 ? [rateText(job.bytes_per_second)] : []),
    ...(job.seconds_left === null ? [] : [`${durationText(job.seconds_left)} left`]),
  ];
}

export const progressLine = (job: JobValue): string => {
  const rest = figures(job);
  return rest.length === 0 ? phaseText(job) : `${phaseText(job)}: ${rest.join(', ')}`;
};

export function lineProgress(write: (text: string) => void, now: () => number): Progress {
  let phase: string | undefined;
  let percent = 0;
  let writtenAtMs = 0;
  return {
    update(job) {
      const sinceMs = now() - writtenAtMs;
      const isDue =
        phaseText(job) !== phase ||
        sinceMs >= signOfLifeMs ||
        (sinceMs >= betweenLinesMs && percentOf(job) >= percent + 10);
      if (!isDue) return;
      phase = phaseText(job);
      percent = percentOf(job);
      writtenAtMs = now();
      write(`${progressLine(job)}\n`);
    },
    end() {},
  };
}

/** Loads the bar's library only where there is a terminal to draw on. */
export async function barProgress(stream: NodeJS.WritableStream): Promise<Progress> {
  const { default: cliProgress } = await import('cli-progress');
  let current: JobValue | undefined;
  const bar = new cliProgress.SingleBar({
    stream,
    fps: 5,
    barsize: 30,
    hideCursor: true,
    clearOnComplete: true,
    format: (options, params) => {
      if (current === undefined) return '';
      const done = Math.round(params.progress * (options.barsize ?? 30));
      const drawn = `[${'='.repeat(done)}${' '.repeat((options.barsize ?? 30) - done)}]`;
      const [head = '', ...rest] = figures(current);
      return [phaseText(current), ...(head === '' ? [] : [drawn, head]), ...rest].join('  ');
    },
  });
  let isDrawn = false;
  return {
    update(job) {
      current = job;
      if (!isDrawn) bar.start(Math.max(1, job.bytes_total), job.bytes_done);
      isDrawn = true;
      bar.setTotal(Math.max(1, job.bytes_total));
      bar.update(job.bytes_done);
    },
    end() {
      if (isDrawn) bar.stop();
      isDrawn = false;
    },
  };
}

export const progressOn = (stream: NodeJS.WriteStream): Promise<Progress> =>
  stream.isTTY
    ? barProgress(stream)
    : Promise.resolve(
        lineProgress(
          (text) => stream.write(text),
          () => performance.now(),
        ),
      );
