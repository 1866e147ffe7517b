"""serve run examples.serve_classifier:app   # then: curl --data-binary @garment.png localhost:8000"""

import io

from PIL import Image
from ray import serve
from transformers import pipeline

import zoo


@serve.deployment(max_ongoing_requests=64)  # at least two batches; the default is 5
class Classifier:
    def __init__(self):
        self.pipeline = pipeline("image-classification", model=zoo.pretrained("fashion-cnn"), top_k=3)

    @serve.batch(max_batch_size=32, batch_wait_timeout_s=0.01)
    async def classify(self, images):
        return self.pipeline(images, batch_size=len(images))

    async def __call__(self, request):
        return await self.classify(Image.open(io.BytesIO(await request.body())))


app = Classifier.bind()
