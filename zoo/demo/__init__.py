"""A demo of shipped models: a static page that runs them in the browser, and a Gradio app."""
