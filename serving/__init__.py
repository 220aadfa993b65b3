"""Deploy registered models, serve and query them. Only `serving.server` imports TensorFlow."""
