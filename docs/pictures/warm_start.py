"""Draw the picture of a warm start, light and dark: `python -m docs.pictures.warm_start`."""

from pathlib import Path
from string import Template

FOLDER = Path(__file__).parents[1] / "images"

# The colors of GitHub's own pages, so that the picture fits both of its themes.
LIGHT = {
    "text": "#1f2328",
    "faint": "#59636e",
    "copied": "#ddf4ff",
    "copied_line": "#0969da",
    "new": "#fff8c5",
    "new_line": "#9a6700",
    "frame": "#d1d9e0",
}
DARK = {
    "text": "#f0f6fc",
    "faint": "#9198a1",
    "copied": "#121d2f",
    "copied_line": "#4493f8",
    "new": "#2e2a1f",
    "new_line": "#d29922",
    "frame": "#3d444d",
}

PICTURE = Template("""\
<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 840 286" width="840" height="286" role="img"
  aria-labelledby="title">
  <title id="title">A pretrained vision encoder feeds newly initialized cross-attention layers
  inside a pretrained text decoder</title>
  <style>
    text { font: 15px -apple-system, "Segoe UI", "Noto Sans", Helvetica, Arial, sans-serif }
    .name { font-weight: 600 }
    text { fill: $text }
    .faint { fill: $faint; font-size: 13px }
    .copied { fill: $copied; stroke: $copied_line; stroke-width: 1.5 }
    .new { fill: $new; stroke: $new_line; stroke-width: 2; stroke-dasharray: 6 4 }
    .frame { fill: none; stroke: $frame; stroke-width: 1.5 }
    .arrow { fill: none; stroke: $faint; stroke-width: 2; marker-end: url(#head) }
    .middle { text-anchor: middle }
  </style>
  <defs>
    <marker id="head" viewBox="0 0 10 10" refX="9" refY="5" markerWidth="7" markerHeight="7"
      orient="auto"><path d="M0 0 10 5 0 10z" fill="$faint"/></marker>
  </defs>

  <g transform="translate(12 89)">
    <rect class="frame" width="76" height="76" rx="6"/>
    <circle cx="54" cy="22" r="8" fill="$new_line"/>
    <path d="M8 66 30 34 46 54 56 44 68 66z" fill="$copied_line"/>
  </g>
  <text class="middle" x="50" y="187">image</text>
  <path class="arrow" d="M96 127H138"/>

  <rect class="copied" x="142" y="67" width="188" height="120" rx="8"/>
  <text class="middle name" x="236" y="104">vision encoder</text>
  <text class="middle" x="236" y="130">such as ViT</text>
  <text class="middle faint" x="236" y="160">86 million, copied</text>

  <text class="middle faint" x="380" y="98">a vector for</text>
  <text class="middle faint" x="380" y="115">each patch</text>
  <path class="arrow" d="M338 127H434"/>

  <rect class="frame" x="422" y="18" width="306" height="216" rx="10"/>
  <text class="middle name" x="575" y="44">text decoder, such as GPT-2</text>
  <rect class="copied" x="438" y="56" width="274" height="40" rx="6"/>
  <text x="452" y="81">self-attention</text>
  <rect class="new" x="438" y="106" width="274" height="42" rx="6"/>
  <text class="name" x="452" y="132">cross-attention</text>
  <rect class="copied" x="438" y="158" width="274" height="40" rx="6"/>
  <text x="452" y="183">feed-forward</text>
  <text class="faint" x="700" y="132" text-anchor="end">28 million, new</text>
  <text class="faint" x="700" y="81" text-anchor="end">copied</text>
  <text class="faint" x="700" y="183" text-anchor="end">copied</text>
  <text class="middle faint" x="575" y="222">12 layers, 124 million copied</text>

  <path class="arrow" d="M736 127H776"/>
  <text x="786" y="132">text</text>

  <rect class="copied" x="142" y="257" width="20" height="14" rx="3"/>
  <text class="faint" x="170" y="269">copied from a pretrained model</text>
  <rect class="new" x="422" y="257" width="20" height="14" rx="3"/>
  <text class="faint" x="450" y="269">randomly initialized: fine-tuning teaches it to see</text>
</svg>
""")


def pictures() -> dict[Path, str]:
    """Return the text of each picture, by its file."""
    return {
        FOLDER / "warm-start-light.svg": PICTURE.substitute(LIGHT),
        FOLDER / "warm-start-dark.svg": PICTURE.substitute(DARK),
    }


if __name__ == "__main__":
    FOLDER.mkdir(exist_ok=True)
    for path, picture in pictures().items():
        path.write_text(picture, encoding="utf-8")
