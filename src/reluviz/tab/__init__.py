"""The tab "ReLU" in TensorBoard, and the same view as an HTML page.

loader         the entry point for TensorBoard: keeps every snapshot, creates the plugin
plugin         the routes
series         a run's tensors and scalars, read through TensorBoard, as the bytes that the view reads
wire_format    arrays as bytes
html_file      the view and its data in one HTML file
static_files   the files below static/
static         the view: ES modules without a build step, and a stylesheet. Its folders import only downwards:
               app       state, time, address and runs; creates the views
               views     one file for each panel of the page
               drawing   scales, plots, pointer, colours, number formats, DOM elements
               core      the mathematics with one file a model, tag names, byte format: twins of the Python code
"""
