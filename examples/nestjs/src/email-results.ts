import { OnQueueEvent, QueueEventsHost, QueueEventsListener } from '@nestjs/bullmq';
import { Job, QueueEvents } from 'bullmq';

/**
 * Waits for what the handlers return, by the queue's event stream. By default a listener sees only what happens after its
 * first read has reached Redis, and the first job may be through by then: this one reads on from the start of the program.
 */
@QueueEventsListener('email', { lastEventId: `${Date.now()}-0` })
export class EmailResults extends QueueEventsHost {
  @OnQueueEvent('progress')
  onProgress({ jobId, data }: { jobId: string; data: unknown }): void {
    console.log(`job ${jobId}: ${JSON.stringify(data)} %`);
  }

  /** Resolves to a line about the job once it is completed or has failed for good. */
  async of(job: Job, withinMs: number): Promise<string> {
    await (this.queueEvents as QueueEvents).waitUntilReady();
    try {
      const result: unknown = await job.waitUntilFinished(this.queueEvents as QueueEvents, withinMs);
      return `job ${job.id} completed: ${JSON.stringify(result)}`;
    } catch (error) {
      return `job ${job.id} failed: ${(error as Error).message}`;
    }
  }
}
