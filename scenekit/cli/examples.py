"""One line for each command that works as it stands, shown by its ``--help``."""

EXAMPLES = {
    "demo": "scenekit demo",
    "process": "scenekit process photographs -o capture",
    "train": "scenekit train fox -r hash_grid --preset fox-cpu -o runs/fox",
    "fit": "scenekit fit photo.jpg --minutes 1 -o runs/photo",
    "evaluate": "scenekit evaluate runs/fox --pictures",
    "render": "scenekit render runs/fox --path orbit -o fox.mp4",
    "convert": "scenekit convert runs/fox --to gaussians --minutes 2",
    "view": "scenekit view runs/fox guitar.spz",
    "export": "scenekit export runs/fox --prune floaters fox.spz --verify",
    "import": "scenekit import guitar.sog -o runs/guitar",
    "info": "scenekit info runs/fox",
    "doctor": "scenekit doctor",
}
