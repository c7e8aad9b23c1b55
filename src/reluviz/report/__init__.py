"""The verb `report`: statistics over many runs, as tables, pictures and a page."""
