"""Trained models in formats of other runtimes: ONNX and CTranslate2."""
