"""The tab "ReLU" in TensorBoard, and the same view as a page of its own.

loader   what TensorBoard finds: keeps every snapshot, makes the plugin
plugin   the routes
series   a run's tensors and scalars, read through TensorBoard, as the bytes that the view reads
page     the view and its data in one HTML file
static   the view: ES modules and a stylesheet, as they are
"""
