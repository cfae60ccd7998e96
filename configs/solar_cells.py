"""The photos of solar cells as the experiments take them: functional or defective."""


def use_solar_cells(config, image_size: int) -> None:
    """Has an experiment draw from them, the expert's four grades put together into two classes."""
    config.data.update(name="solar_cells", image_size=image_size)
    config.data.classes = (
        ("functional", ("functional", "likely_functional")),
        ("defective", ("likely_defective", "defective")),
    )
