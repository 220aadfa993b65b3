"""From a registered model to answers: deploy, serve, query. Nothing here imports TensorFlow."""
