"""The style of all outputs, for light and dark notebooks. It applies inside `.timim` only."""

from __future__ import annotations

__all__ = ["STYLE"]

_LIGHT = "--t-fg:#1f2328;--t-bg:#fff;--t-soft:#59636e;--t-line:#d1d9e0;--t-in:#f0f2f5;--t-out:#d6ecff;--t-warn:#9a6700;\
--t-warn-bg:#fff8c5;--t-bad:#cf222e;--t-good:#1a7f37;--t-gap:#bf8700;--t-mark:#ffe58f;color-scheme:light"
_DARK = "--t-fg:#e6edf3;--t-bg:#15191f;--t-soft:#9aa4af;--t-line:#3d444d;--t-in:#262c36;--t-out:#123d63;--t-warn:#e3b341;\
--t-warn-bg:#3a2d07;--t-bad:#ff7b72;--t-good:#3fb950;--t-gap:#d29922;--t-mark:#6b5300;color-scheme:dark"

# `.timim.timim` outweighs the rules of JupyterLab for tables in outputs.
# A notebook says by an attribute or a class of its body whether it is dark. Elsewhere the setting of the browser counts.
STYLE = f"""<style>
.timim{{{_LIGHT}}}
@media (prefers-color-scheme:dark){{.timim{{{_DARK}}}}}
body[data-jp-theme-light="true"] .timim,body.vscode-light .timim{{{_LIGHT}}}
body[data-jp-theme-light="false"] .timim,body.vscode-dark .timim,body.vscode-high-contrast .timim{{{_DARK}}}
.timim{{font:14px/1.45 system-ui,-apple-system,"Segoe UI",Roboto,"Noto Sans","Noto Sans CJK SC",sans-serif;color:var(--t-fg);\
background:var(--t-bg);border:1px solid var(--t-line);border-radius:8px;padding:10px 12px;max-width:760px;max-height:640px;\
overflow:auto;text-align:left}}
.timim *{{box-sizing:border-box}}
.timim .t-head{{display:flex;gap:8px;align-items:baseline;flex-wrap:wrap;margin:0 0 6px}}
.timim .t-title{{font-weight:600;overflow-wrap:anywhere}}
.timim .t-soft{{color:var(--t-soft);font-size:12px}}
.timim .t-bad{{color:var(--t-bad)}}.timim .t-good{{color:var(--t-good)}}.timim .t-warn{{color:var(--t-warn)}}
.timim .t-row{{margin:6px 0;max-width:82%}}
.timim .t-row.t-own{{margin-left:auto;width:fit-content}}
.timim .t-row.t-tip{{max-width:100%;text-align:center}}
.timim .t-bubble{{background:var(--t-in);border-radius:10px;padding:6px 10px;width:fit-content;max-width:100%;\
overflow-wrap:anywhere}}
.timim .t-own .t-bubble{{background:var(--t-out);margin-left:auto}}
.timim .t-tip .t-bubble{{background:none;margin:auto;color:var(--t-soft);font-size:12px;padding:0}}
.timim .t-by{{color:var(--t-soft);font-size:12px}}
.timim .t-own .t-by,.timim .t-own .t-below{{text-align:right}}.timim .t-tip .t-by{{display:none}}
.timim .t-text{{white-space:pre-wrap}}
.timim .t-text mark{{background:var(--t-mark);color:inherit;padding:0}}
.timim .t-quote{{border-left:3px solid var(--t-line);padding-left:8px;margin-bottom:4px;color:var(--t-soft);font-size:12px}}
.timim .t-card{{display:flex;gap:10px;align-items:center;border:1px solid var(--t-line);border-radius:8px;padding:6px 10px;\
margin:2px 0;background:var(--t-bg)}}
.timim .t-icon{{font-size:20px}}
.timim .t-box{{display:flex;align-items:center;justify-content:center;text-align:center;border:1px dashed var(--t-line);\
border-radius:6px;color:var(--t-soft);font-size:12px;padding:4px;max-width:100%}}
.timim img,.timim video{{max-width:240px;max-height:240px;border-radius:6px;display:block;margin:2px 0}}
.timim audio{{height:32px;max-width:260px;display:block;margin:2px 0}}
.timim .t-gap{{color:var(--t-warn);background:var(--t-warn-bg);border:1px dashed var(--t-gap);border-radius:6px;\
padding:3px 8px;margin:8px 0;font-size:12px;text-align:center}}
.timim .t-more{{color:var(--t-soft);font-size:12px;text-align:center;margin:6px 0}}
.timim .t-tags span{{border:1px solid var(--t-line);border-radius:10px;padding:0 7px;font-size:12px;margin-right:4px}}
.timim.timim table{{table-layout:auto;border-collapse:collapse;width:100%;color:inherit;font-size:13px;margin:0;border:0}}
.timim.timim table th,.timim.timim table td{{text-align:left;padding:4px 8px;border:0;vertical-align:top;\
border-bottom:1px solid var(--t-line);overflow-wrap:anywhere;background:none;white-space:normal;max-width:none}}
.timim.timim table th{{color:var(--t-soft);font-weight:500}}
.timim.timim table tbody tr{{background:none}}
.timim summary{{cursor:pointer}}
.timim details .t-row{{max-width:100%}}
.timim .t-bar{{position:relative;height:14px;border-radius:7px;overflow:hidden;margin:6px 0 2px;\
background:repeating-linear-gradient(45deg,var(--t-gap) 0 4px,var(--t-warn-bg) 4px 8px)}}
.timim .t-bar i{{position:absolute;top:0;bottom:0;background:var(--t-good);min-width:1px}}
.timim .t-ends{{display:flex;justify-content:space-between}}
</style>"""
