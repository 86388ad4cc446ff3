"""The clips of this folder's tests: every file stands beside the command that makes it.

`{NAME}` in a command is the path of another clip, or of a text, that is made first. A command of ffmpeg
ends with the file it writes, which the table leaves out. ffmpeg 5.1 makes them all.
"""

import itertools
import re
import shlex
import subprocess
from pathlib import Path

import av

MOVING = "-f lavfi -i testsrc2=s=64x48:r=25:d=1.2"
"""Thirty frames, each different."""

X264 = "-c:v libx264 -preset veryfast -pix_fmt yuv420p -g 12 -bf 2"
"""Real cameras' H.264: B-frames, a codec keyframe every half second."""

GRADIENT = "gradients=s=128x96:r=25:d=0.4:c0=0xc04030:c1=0x30b050:c2=0x3050c0:nb_colors=3:x0=0:y0=0:x1=127:y1=95:seed=3"
"""Colours in all directions, none of them clipped, so smooth that how chroma is interpolated does not
matter; and no turn or mirror image is like another.
"""

# ---- time

# Steps of 1480 and 3980 of 1/90000 s, and every seventh frame missing: a phone that follows the light.
UNEVEN = r"-vf settb=1/90000,select='mod(n\,7)',setpts='N*3003+mod(N*977\,2500)'"
KEEP_TIMES = "-fps_mode passthrough -enc_time_base 1/90000"

TIME = {
    "25.mp4": f"{MOVING} {X264}",
    "23.976.mp4": f"-f lavfi -i testsrc2=s=64x48:r=24000/1001:d=1.2 {X264}",
    "29.97.mp4": f"-f lavfi -i testsrc2=s=64x48:r=30000/1001:d=1 {X264}",
    "59.94.mov": f"-f lavfi -i testsrc2=s=64x48:r=60000/1001:d=0.5 {X264}",
    "23.976.mkv": "-i {23.976.mp4} -c copy",
    "phone.mp4": f"-f lavfi -i testsrc2=s=64x48:r=30:d=1 {UNEVEN} {KEEP_TIMES} "
    f"-video_track_timescale 90000 {X264} -bf 0",
    "phone-bframes.mp4": f"-f lavfi -i testsrc2=s=64x48:r=30:d=1 {UNEVEN} {KEEP_TIMES} "
    f"-video_track_timescale 90000 {X264}",
    "phone.mkv": "-i {phone-bframes.mp4} -c copy",
    "phone.webm": f"-f lavfi -i testsrc2=s=64x48:r=30:d=1 {UNEVEN} {KEEP_TIMES} "
    "-c:v libvpx-vp9 -deadline realtime -cpu-used 8",
    "gap.mp4": f"{MOVING} -vf setpts='N+gte(N\\,10)*700' -fps_mode passthrough {X264}",
    "one-in-five-seconds.mp4": f"-f lavfi -i testsrc2=s=64x48:r=1/5:d=20 {X264}",
    "late.ts": f"{MOVING} {X264} -output_ts_offset 3.5",
    "late.mp4": f"{MOVING} {X264} -output_ts_offset 3.5",
    "late.mkv": f"{MOVING} {X264} -output_ts_offset 3.5",
    # An edit list that takes away the first frames, which the others need ...
    "edit-list.mp4": "-ss 0.6 -i {25.mp4} -c copy",
    "edit-list.mov": "-ss 0.6 -i {25.mp4} -c copy",
    # ... and one by which the first frames come before 0.
    "before-0.mp4": f"{MOVING} {X264} -output_ts_offset -0.2 -avoid_negative_ts disabled",
    # MPEG-TS counts to 2^33 / 90000 s = 95443.7 s, then from 0 again: FFmpeg gives the frames in front
    # of it negative PTS.
    "wrapped.ts": f"{MOVING} {X264} -muxdelay 0 -output_ts_offset 95443",
    # As bytes ("-f data"), so that ffmpeg does not mend the times.
    "restarted.ts": "-f data -i concat:{late.ts}|{small.ts} -map 0 -c copy -f data",
    # No PTS at all, and some missing.
    "raw.h264": f"{MOVING} {X264}",
    "raw.hevc": f"{MOVING} -c:v libx265 -preset ultrafast -pix_fmt yuv420p -x265-params log-level=error",
    "raw.m4v": f"{MOVING} -c:v mpeg4 -bf 2 -f m4v",
    "bframes.avi": f"{MOVING} -c:v mpeg4 -bf 2",
    # libxvid puts two frames into one packet and leaves an empty one behind ("packed B-frames").
    "h264-bframes.avi": f"{MOVING} {X264}",
    "packed.avi": f"{MOVING} -c:v libxvid -bf 2 -g 12",
    "fragmented.mp4": f"{MOVING} {X264} -movflags frag_keyframe+empty_moov",
    "av1.mp4": f"{MOVING.replace('64x48', '96x64')} -c:v libsvtav1 -preset 12 -svtav1-params lookahead=0",
    "hevc.mkv": f"{MOVING} -c:v libx265 -preset veryfast -pix_fmt yuv420p -x265-params log-level=error:bframes=3",
    "mpeg2.mpg": f"{MOVING} -c:v mpeg2video -bf 2",
    "h264.flv": f"{MOVING} {X264}",
    "animation.gif": "-f lavfi -i testsrc2=s=64x48:r=10:d=1",
}  # fmt: skip

# ---- colour

MATRICES = {
    # tags of space, primaries and transfer; zscale's name of the matrix
    "bt601": ("smpte170m", "smpte170m", "smpte170m", "170m"),
    "bt709": ("bt709", "bt709", "bt709", "709"),
    "bt2020": ("bt2020nc", "bt2020", "bt2020-10", "2020_ncl"),
}
RANGES = {"limited": "tv", "full": "pc"}
DEPTHS = {"8": "", "10": "10le", "12": "12le"}


def _tags(matrix: str, extent: str) -> str:
    space, primaries, transfer, _ = MATRICES[matrix]
    return (
        f"-colorspace {space} -color_range {RANGES[extent]} -color_primaries {primaries} "
        f"-color_trc {transfer}"
    )


def _gradient(matrix: str, extent: str, pix_fmt: str, frames: int = 1) -> str:
    # zscale, for swscale 5.1 rounds full range badly beyond 8 bits and replicates chroma.
    return (
        f"-f lavfi -i {GRADIENT} -frames:v {frames} -vf format=gbrp,zscale=matrixin=gbr:rangein=full:"
        f"matrix={MATRICES[matrix][3]}:range={extent},format={pix_fmt}"
    )


YCBCR = {
    f"{matrix}-{extent}-{bits}-{chroma}.mkv": (matrix, extent, f"yuv{chroma}p{DEPTHS[bits]}")
    for matrix, extent, bits, chroma in itertools.product(
        MATRICES, RANGES, DEPTHS, ("420", "422", "444")
    )
}
"""Matrix, range and pixel format of every kind of Y'CbCr."""

COLOR = {
    name: f"{_gradient(*kind)} -c:v ffv1 {_tags(*kind[:2])}" for name, kind in YCBCR.items()
}  # fmt: skip

OTHER_COLOR = {
    "untagged-small.mkv": f"{_gradient('bt601', 'limited', 'yuv420p')} -c:v ffv1",
    "untagged-large.mkv": f"{_gradient('bt709', 'limited', 'yuv420p').replace('128x96', '1280x720')} -c:v ffv1",
    "nv12.nut": f"{_gradient('bt601', 'limited', 'nv12')} -c:v rawvideo",
    "yuyv.nut": f"{_gradient('bt601', 'limited', 'yuv422p')},format=yuyv422 -c:v rawvideo",
    "v210.mov": f"{_gradient('bt709', 'limited', 'yuv422p10le')} -c:v v210 {_tags('bt709', 'limited')}",
    "411.mkv": f"{_gradient('bt601', 'limited', 'yuv411p')} -c:v ffv1 {_tags('bt601', 'limited')}",
    "440.mkv": f"{_gradient('bt601', 'limited', 'yuv440p')} -c:v ffv1 {_tags('bt601', 'limited')}",
    "16-bit.mkv": f"{_gradient('bt709', 'limited', 'yuv420p16le')} -c:v ffv1 {_tags('bt709', 'limited')}",
    "alpha.mkv": f"{_gradient('bt709', 'limited', 'yuva420p')},lutyuv=a=val/2 "
    f"-c:v ffv1 {_tags('bt709', 'limited')}",
    "prores4444.mov": f"{_gradient('bt709', 'limited', 'yuva444p10le')} -c:v prores_ks -profile:v 4444 "
    f"{_tags('bt709', 'limited')}",
    "mjpeg.mov": f"{_gradient('bt601', 'full', 'yuvj420p')} -c:v mjpeg -q:v 1",
    "h264-full.mp4": f"{_gradient('bt709', 'full', 'yuv420p')} -c:v libx264 -qp 1 {_tags('bt709', 'full')}",
    "bgr24.avi": f"-f lavfi -i {GRADIENT} -frames:v 1 -vf format=bgr24 -c:v rawvideo",
    "gray.mkv": f"-f lavfi -i {GRADIENT} -frames:v 1 -vf format=gray -c:v ffv1",
    "gray-limited.mkv": f"{_gradient('bt709', 'limited', 'gray')} -c:v ffv1 {_tags('bt709', 'limited')}",
    "gray10.mkv": f"-f lavfi -i {GRADIENT} -frames:v 1 -vf format=gray10le -c:v ffv1",
    "rgb24.mov": f"-f lavfi -i {GRADIENT} -frames:v 1 -vf format=rgb24 -c:v png",
    "rgba.mov": f"-f lavfi -i {GRADIENT} -frames:v 1 "
    "-vf format=rgba,lutrgb=a=val/2 -c:v png",
    "rgb48.mov": f"-f lavfi -i {GRADIENT} -frames:v 1 -vf format=rgb48be -c:v png",
    "bgr0.avi": f"-f lavfi -i {GRADIENT} -frames:v 1 -vf format=bgr0 -c:v ffv1",
    "gbrp.mkv": f"-f lavfi -i {GRADIENT} -frames:v 1 -vf format=gbrp -c:v ffv1",
    "gbrp10.mkv": f"-f lavfi -i {GRADIENT} -frames:v 1 -vf format=gbrp10le -c:v ffv1",
    "h264-rgb.mp4": f"-f lavfi -i {GRADIENT} -frames:v 1 -c:v libx264rgb -qp 1",
    "palette.gif": f"-f lavfi -i {GRADIENT} -frames:v 2 "
    "-vf split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none",
    "palette.avi": f"-f lavfi -i {GRADIENT} -frames:v 1 "
    "-vf split[a][b];[a]palettegen[p];[b][p]paletteuse=dither=none -c:v rawvideo -pix_fmt pal8",
}  # fmt: skip

TAGGED = {
    "tags-bt601.mp4": ("smpte170m", "tv", "smpte170m", "smpte170m"),
    "tags-pal.mp4": ("bt470bg", "tv", "bt470bg", "smpte170m"),
    "tags-bt709.mp4": ("bt709", "tv", "bt709", "bt709"),
    "tags-bt709-full.mp4": ("bt709", "pc", "bt709", "bt709"),
    "tags-srgb.mp4": ("bt709", "pc", "bt709", "iec61966-2-1"),
    "tags-bt2020.mp4": ("bt2020nc", "tv", "bt2020", "bt2020-10"),
    "tags-p3.mp4": ("bt709", "tv", "smpte432", "bt709"),
}
"""Space, range, primaries and transfer."""

COLOR |= OTHER_COLOR
COLOR |= {
    name: f"-f lavfi -i {GRADIENT} -frames:v 5 -c:v libx264 -pix_fmt yuv420p -colorspace {space} "
    f"-color_range {extent} -color_primaries {primaries} -color_trc {transfer}"
    for name, (space, extent, primaries, transfer) in TAGGED.items()
}
COLOR["tags-none.mp4"] = f"-f lavfi -i {GRADIENT} -frames:v 5 -c:v libx264 -pix_fmt yuv420p"

# ---- high dynamic range

# 1 is 203 nits (ITU-R BT.2408); light grows from left to right, to 800.
_LIGHT = (
    f'-f lavfi -i {GRADIENT} -vf "format=gbrpf32le,zscale=matrixin=gbr:rangein=full:tin=bt709:pin=bt709:'
    "matrix=gbr:primaries=bt709:transfer=linear:npl=203,geq=r='p(X,Y)*(1+X/20)':g='p(X,Y)*(1+X/20)':b='p(X,Y)*(1+X/20)',"
    "zscale=matrixin=gbr:tin=linear:pin=bt709:primaries=bt2020:transfer={transfer}:matrix=2020_ncl:"
    "range=limited:npl=203,"
    'format=yuv420p10le"'
)
_MASTERING = (
    "hdr10=1:master-display=G(13250,34500)B(7500,3000)R(34000,16000)WP(15635,16450)L(10000000,50):"
    "max-cll=1000,400"
)
_BT2020 = "colorprim=bt2020:colormatrix=bt2020nc:range=limited"
_X265 = "-c:v libx265 -preset ultrafast -tag:v hvc1 -x265-params log-level=error"
HDR = {
    "pq.mp4": f"{_LIGHT.format(transfer='smpte2084')} {_X265}:{_BT2020}:transfer=smpte2084:{_MASTERING}",
    "hlg.mp4": f"{_LIGHT.format(transfer='arib-std-b67')} {_X265}:{_BT2020}:transfer=arib-std-b67",
    "hlg.mkv": "-i {hlg.mp4} -c copy",
    "pq.mov": "-i {pq.mp4} -c copy -tag:v hvc1",
    "pq.webm": f"{_LIGHT.format(transfer='smpte2084')} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 "
    "-colorspace bt2020nc -color_range tv -color_primaries bt2020 -color_trc smpte2084",
}  # fmt: skip

# ---- geometry

_LANDSCAPE = f"-f lavfi -i {GRADIENT}"
GEOMETRY = {
    "upright.mp4": f"{_LANDSCAPE} {X264} -qp 10",
    **{f"rotated-{k}.mp4": f"-i {{upright.mp4}} -c copy -metadata:s:v rotate={k}" for k in (90, 180, 270)},
    "rotated-90.mov": "-i {upright.mp4} -c copy -metadata:s:v rotate=90",
    "odd-420.mkv": f"-f lavfi -i {GRADIENT.replace('128x96', '33x17')} -vf format=yuv420p -c:v ffv1",
    "odd-422.mkv": f"-f lavfi -i {GRADIENT.replace('128x96', '33x17')} -vf format=yuv422p -c:v ffv1",
    "odd-444.mp4": f"-f lavfi -i {GRADIENT.replace('128x96', '33x17')} -c:v libx264 -pix_fmt yuv444p "
    f"-qp 4 -colorspace bt709 -color_range tv -color_primaries bt709 -color_trc bt709",
    "odd-vp9.webm": f"-f lavfi -i {GRADIENT.replace('128x96', '33x17')} -c:v libvpx-vp9 -pix_fmt yuv420p "
    "-deadline realtime -cpu-used 8",
    "tiny.mkv": f"-f lavfi -i {GRADIENT.replace('128x96', '2x2')} -vf format=yuv420p -c:v ffv1",
    "anamorphic.mp4": f"{_LANDSCAPE} -vf setsar=4/3 {X264}",
    "anamorphic.mkv": f"{_LANDSCAPE} -vf setsar=64/45 {X264}",
    "anamorphic.mpg": f"{_LANDSCAPE} -vf setdar=16/9 -c:v mpeg2video",
    "interlaced.ts": f"{MOVING} -vf tinterlace=interleave_top,setfield=tff -c:v mpeg2video -flags +ilme+ildct",
    "interlaced.mp4": f"{MOVING} -vf tinterlace=interleave_top,setfield=tff -c:v libx264 -x264-params tff=1 "
    "-flags +ilme+ildct",
    "small.ts": f"-f lavfi -i testsrc2=s=64x48:r=25:d=0.4 {X264}",
    "larger.ts": f"-f lavfi -i testsrc2=s=96x64:r=25:d=0.4 {X264} -output_ts_offset 0.4",
    "growing.ts": "-i concat:{small.ts}|{larger.ts} -c copy",
    "shrinking.ts": "-i concat:{larger.ts}|{small.ts} -c copy",
}  # fmt: skip

MIRRORED = {
    # PyAV's set_display_rotation, for ffmpeg 5.1 writes no mirrored matrix: degrees, mirrored, flipped
    "mirrored.mp4": (0, True, False),
    "flipped.mp4": (0, False, True),
    "mirrored-90.mp4": (90, True, False),
    "mirrored-270.mp4": (270, True, False),
}

# ---- other streams

_TONE = "-f lavfi -i sine=f={f}:d=1.2:r=48000"
_TWO_TONES = f"{_TONE.format(f=440)} {_TONE.format(f=660)}"
_NAMES = (
    "-metadata title=Drive -metadata artist=Me -metadata comment=rain -metadata creation_time=2024-05-06T07:08:09Z "
    "-metadata:s:v title=front -metadata:s:v language=jpn "
    "-metadata:s:a:0 language=eng -metadata:s:a:0 title=cabin -metadata:s:a:1 language=deu -metadata:s:a:1 title=radio "
    "-disposition:a:0 0 -disposition:a:1 default"
)
TEXTS = {
    "words.srt": "1\n00:00:00,100 --> 00:00:00,500\nleft\n\n2\n00:00:00,600 --> 00:00:01,100\nright\n",
    "chapters.txt": ";FFMETADATA1\n[CHAPTER]\nTIMEBASE=1/1000\nSTART=0\nEND=500\ntitle=town\n"
    "[CHAPTER]\nTIMEBASE=1/1000\nSTART=500\nEND=1200\ntitle=motorway\n",
    "font.ttf": "not really a font, but an attachment all the same\n",
}
"""Files that commands read."""

_EVERYTHING = (
    f"{MOVING} {_TWO_TONES} -i {{words.srt}} -i {{chapters.txt}} -map 0 -map 1 -map 2 -map 3 -map_metadata 4 "
    f"-map_chapters 4 {X264}"
)
STREAMS = {
    "everything.mkv": f"{_EVERYTHING} -c:a aac -c:s srt {_NAMES} -metadata:s:s:0 language=fra "
    "-disposition:s:0 forced -attach {font.ttf} -metadata:s:t mimetype=application/x-truetype-font",
    "everything.mp4": f"{_EVERYTHING} -c:a aac -c:s mov_text {_NAMES} -metadata:s:s:0 language=fra",
    "everything.webm": f"{_EVERYTHING} -c:v libvpx-vp9 -pix_fmt yuv420p -deadline realtime -cpu-used 8 -bf 0 "
    f"-c:a libopus -c:s webvtt {_NAMES} -metadata:s:s:0 language=fra",
    "timecode.mov": f"{MOVING} {_TONE.format(f=440)} {X264} -c:a pcm_s16le -timecode 01:02:03:04",
    "mp3.avi": f"{MOVING} {_TONE.format(f=440)} -c:v mpeg4 -c:a libmp3lame",
    "cover.png": f"-f lavfi -i {GRADIENT} -frames:v 1",
    "cover.mp4": f"{MOVING} {_TONE.format(f=440)} -i {{cover.png}} -map 0 -map 1 -map 2 {X264} -c:v:1 png -c:a aac "
    "-disposition:v:1 attached_pic",
    "two-videos.mkv": f"{MOVING} -f lavfi -i {GRADIENT} -map 0 -map 1 {X264}",
    "sound-first.mp4": f"{_TONE.format(f=440)} {MOVING} -map 0 -map 1 {X264} -c:a aac",
}  # fmt: skip

_STEREO = f"{MOVING} {_TONE.format(f=440)} {X264} -ac 2"
SOUND = {
    "aac.ts": f"{_STEREO} -c:a aac",  # with a header in every packet (ADTS), which other containers do not take
    "mp2.ts": f"{_STEREO} -c:a mp2",
    "ac3.mkv": f"{_STEREO} -c:a ac3",
    "pcm.avi": f"{MOVING} {_TONE.format(f=440)} -c:v mjpeg -pix_fmt yuvj420p -ac 2 -c:a pcm_s16le",
    "pcm.mkv": f"{_STEREO} -c:a pcm_s24le",
    "flac.mkv": f"{_STEREO} -c:a flac",
    "alac.mov": f"{_STEREO} -c:a alac",
    "opus.mp4": f"{_STEREO} -c:a libopus",
    "vorbis.webm": f"{MOVING} {_TONE.format(f=440)} -c:v libvpx-vp9 -deadline realtime -cpu-used 8 -c:a libvorbis",
    "sound-late.mkv": "-i {mp2.ts} -itsoffset 0.3 -i {mp2.ts} -map 0:v -map 1:a -c copy",
    "sound-early.mkv": "-itsoffset 0.3 -i {mp2.ts} -i {mp2.ts} -map 0:v -map 1:a -c copy",
}  # fmt: skip

# ---- whole files, to be damaged by the tests

_TWO_SECONDS = f"-f lavfi -i testsrc2=s=96x64:r=25:d=2 {X264}"
WHOLE = {
    "whole.ts": _TWO_SECONDS,
    "whole.mkv": "-i {whole.ts} -c copy",
    "whole.mp4": "-i {whole.ts} -c copy -movflags faststart",
    "mpeg2.ts": "-f lavfi -i testsrc2=s=96x64:r=25:d=2 -c:v mpeg2video -bf 2 -q:v 3",
    "vp9.webm": "-f lavfi -i testsrc2=s=96x64:r=25:d=2 -c:v libvpx-vp9 -g 12 -deadline realtime -cpu-used 8",
}

COMMANDS = {**TIME, **COLOR, **HDR, **GEOMETRY, **STREAMS, **SOUND, **WHOLE}


class Clips:
    """Makes clips on demand, each once, in `folder`."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder

    def __call__(self, name: str) -> Path:
        """The file of that name."""
        path = self._folder / name
        if not path.exists():
            if name in TEXTS:
                path.write_text(TEXTS[name])
            elif name in MIRRORED:
                _write_turned(self("upright.mp4"), path, *MIRRORED[name])
            else:
                self._run(COMMANDS[name], path)
        return path

    def _run(self, command: str, path: Path) -> None:
        command = re.sub(r"\{([\w.-]+)\}", lambda match: str(self(match[1])), command)
        part = path.with_name(f"part-{path.name}")
        words = ["ffmpeg", "-nostdin", "-v", "error", "-y", *shlex.split(command), str(part)]
        done = subprocess.run(words, stderr=subprocess.PIPE, text=True, timeout=20)
        assert done.returncode == 0, f"{shlex.join(words)}\n{done.stderr}"
        part.rename(path)


def _write_turned(source: Path, path: Path, degrees: int, mirrored: bool, flipped: bool) -> None:
    with av.open(str(source)) as given, av.open(str(path), "w") as turned:
        stream = turned.add_stream_from_template(given.streams.video[0])
        stream.set_display_rotation(degrees, hflip=mirrored, vflip=flipped)
        for packet in given.demux(video=0):
            if packet.dts is not None:
                packet.stream = stream
                turned.mux(packet)
