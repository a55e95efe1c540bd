"""The same job on the best task queues for asyncio, each as a careful engineer would write it."""
