import { BullModule } from '@nestjs/bullmq';
import { Module } from '@nestjs/common';

import { EmailResults } from './email-results.js';
import { EmailService } from './email.service.js';

@Module({
  imports: [
    BullModule.forRoot({ connection: { url: process.env.REDIS_URL ?? 'redis://127.0.0.1:6379' } }),
    BullModule.registerQueue({ name: 'email' }),
  ],
  providers: [EmailService, EmailResults],
})
export class AppModule {}
