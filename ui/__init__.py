"""The web page: Gradio for layout, filters and events; own HTML components where Gradio's are too poor."""
