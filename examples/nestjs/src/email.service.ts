import { InjectQueue } from '@nestjs/bullmq';
import { Injectable } from '@nestjs/common';
import { Job, Queue } from 'bullmq';

/** Adds jobs as BullMQ's documentation shows. Nothing here knows that the worker is written in Python. */
@Injectable()
export class EmailService {
  constructor(@InjectQueue('email') private readonly queue: Queue) {}

  welcome(userId: number): Promise<Job> {
    return this.queue.add('welcome', { userId }, { attempts: 3, backoff: { type: 'exponential', delay: 5000 } });
  }
}
