"""Images and annotations of a file in COCO's format or one of those made of it, before they are checked in detail."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from persam_video.files.json_file import shortened
from persam_video.inputs.coco_images import CocoImage, Key
from persam_video.inputs.json_values import listed, mapping, whole

_MAX_FRAMES = 1_000_000  # of a video whose frames have no names


@dataclass(frozen=True, slots=True)
class CocoEntry:
    """Annotation of one object in one image.

    Args:
        image: key of the image.
        segmentation: polygons or run lengths, not checked; None: it has none.
        box: x, y, width and height, not checked; None: it has none.
        category: id of the category, as text.
        track: what the annotations of one object in several images have in common; None: not known.
    """

    image: Key
    segmentation: Any
    box: Any
    category: str | None
    track: str | None


def parse_coco(content: object) -> tuple[list[CocoImage], list[CocoEntry], dict[str, str]]:
    """Images, at least one, annotations, and names of the categories by id, of a file's content.

    It is a list of results, or holds images and annotations; one ``image``, as files of SA-1B; or ``videos``, as files
    of YouTube-VIS, whose annotations have a list with one segmentation a frame.

    Raises:
        ValueError: it is none of these.
    """
    if isinstance(content, list):
        whole_file: dict[str, Any] = {"annotations": content}
    else:
        whole_file = mapping(content, "a COCO file")
    annotations = [mapping(each, "an annotation") for each in listed(whole_file.get("annotations"), "annotations")]
    entries = [entry for place, each in enumerate(annotations) for entry in _entries(each, place)]
    if "images" in whole_file:
        images = [_image(mapping(each, "an image")) for each in listed(whole_file["images"], "images")]
    elif "image" in whole_file:
        images = [_image(mapping(whole_file["image"], "an image"))]
    elif "videos" in whole_file:
        videos = [mapping(each, "a video") for each in listed(whole_file["videos"], "videos")]
        images = [image for each in videos for image in _frames(each)]
    else:  # results name no images but their ids
        keys = dict.fromkeys(each.image for each in entries)
        images = [CocoImage(key, "/".join(map(str, key)) if isinstance(key, tuple) else key or "image") for key in keys]
    if not images:
        raise ValueError("no image")
    if len(images) == 1:  # which annotations need not name
        only = images[0].key
        entries = [replace(each, image=only) if None in (each.image, only) else each for each in entries]
    elif any(each.image is None for each in entries):
        raise ValueError("an annotation without image_id")
    categories = [mapping(each, "a category") for each in listed(whole_file.get("categories") or [], "categories")]
    names = {_id(each.get("id")) or "": each.get("name") for each in categories}
    return images, entries, {key: name for key, name in names.items() if key and isinstance(name, str)}


def _image(content: dict[str, Any]) -> CocoImage:
    key = _id(content.get("id", content.get("image_id")))
    name = content.get("file_name")
    return CocoImage(key, name if isinstance(name, str) and name else key or "image", _size(content))


def _frames(video: dict[str, Any]) -> list[CocoImage]:
    """Images of a video's frames."""
    key, names = _id(video.get("id")) or "", video.get("file_names")
    if names is None:
        length = whole(video.get("length"))
        if not 0 <= length <= _MAX_FRAMES:
            raise ValueError(f"a video of {shortened(length)} frames")
        names = [f"{index:05d}" for index in range(length)]
    found = listed(names, "file_names")
    if not all(isinstance(name, str) for name in found):
        raise ValueError("a file name that is no text")
    return [CocoImage((key, index), name, _size(video)) for index, name in enumerate(found)]


def _size(content: dict[str, Any]) -> tuple[int, int] | None:
    width, height = content.get("width"), content.get("height")
    return None if width is None or height is None else (whole(width), whole(height))


def _entries(content: dict[str, Any], place: int) -> Iterator[CocoEntry]:
    """Entries of an annotation: one, or one a frame of a video."""
    category = _id(content.get("category_id"))
    if "segmentations" in content or "bboxes" in content:
        video = _id(content.get("video_id")) or ""
        columns = [listed(content.get(name) or [], name) for name in ("segmentations", "bboxes")]
        for index in range(max(map(len, columns))):
            segmentation, box = (_given(each[index]) if index < len(each) else None for each in columns)
            if segmentation is not None or box is not None:
                yield CocoEntry((video, index), segmentation, box, category, str(place))
        return
    segmentation, box = _given(content.get("segmentation")), _given(content.get("bbox"))
    attributes = content.get("attributes")
    track = content.get("track_id", attributes.get("track_id") if isinstance(attributes, dict) else None)
    yield CocoEntry(_id(content.get("image_id")), segmentation, box, category, _id(track))


def _given(value: Any) -> Any:
    """A value that is not empty; None otherwise."""
    return None if value is None or (isinstance(value, (str, list, dict)) and not value) else value


def _id(value: object) -> str | None:
    """An id as text, so that 1 and "1" are the same.

    Raises:
        ValueError: it is neither a number nor a text.
    """
    if value is None or isinstance(value, str):
        return value
    return str(whole(value))
