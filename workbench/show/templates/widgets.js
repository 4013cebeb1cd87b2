(function (style) {
  const root = style.closest('.dsl-widget');
  if (!root || root.dslNamed) return;
  root.dslNamed = true;
  const put = (el, key, value) => { if (el && el.getAttribute(key) !== value) el.setAttribute(key, value); };
  function name() {
    root.querySelectorAll('.widget-slider, .widget-hslider').forEach(el => {
      const label = el.querySelector('.widget-label');
      if (!label) return;
      put(el.querySelector('.noUi-handle, .ui-slider-handle'), 'aria-label', label.textContent);
      const value = el.querySelector('.widget-readout');
      put(value, 'role', 'textbox');
      put(value, 'aria-label', label.textContent + ' value');
    });
    root.querySelectorAll('.dsl-status').forEach(el => { put(el, 'role', 'status'); put(el, 'aria-live', 'polite'); });
    root.querySelectorAll('.dsl-chip').forEach(el => put(el, 'aria-pressed', String(el.classList.contains('dsl-chosen'))));
    put(root.closest('.dsl-page'), 'role', 'main');
    const regions = {'dsl-studio': 'Template studio', 'dsl-gallery': 'Favourites', 'dsl-atlas': 'Fillers'};
    for (const key in regions)
      if (root.classList.contains(key)) { put(root, 'role', 'region'); put(root, 'aria-label', regions[key]); }
    const groups = {'dsl-chips': 'Chips of the prompt', 'dsl-chip-actions': 'Chosen chip', 'dsl-write': 'Write',
      'dsl-settings': 'Settings', 'dsl-results': 'Results', 'dsl-favourites': 'Favourites'};
    for (const key in groups)
      root.querySelectorAll('.' + key).forEach(el => { put(el, 'role', 'group'); put(el, 'aria-label', groups[key]); });
  }
  name();
  new MutationObserver(name).observe(root, {childList: true, subtree: true, attributes: true, attributeFilter: ['class']});
  const half = /[\uD800-\uDBFF](?![\uDC00-\uDFFF])|(?<![\uD800-\uDBFF])[\uDC00-\uDFFF]/g;
  function fit(event) {
    const el = event.target;
    if (!el.matches('textarea, input[type=text]')) return;
    const text = el.value.slice(0, 200000).replace(half, '\uFFFD');
    if (text !== el.value) el.value = text;
  }
  for (const kind of ['input', 'change']) root.addEventListener(kind, fit, true);
  root.addEventListener('keydown', event => {
    const field = event.target.closest('.dsl-prompt textarea');
    if (!field || event.key !== 'Enter' || event.shiftKey || event.isComposing) return;
    event.preventDefault();
    event.stopPropagation();
    field.dispatchEvent(new Event('change', {bubbles: true}));
    root.querySelector('.dsl-read').click();
  }, true);
  function old(text) {
    const area = document.createElement('textarea');
    area.value = text; area.setAttribute('aria-hidden', 'true'); area.style.position = 'fixed'; area.style.opacity = '0';
    document.body.append(area); area.select();
    try { document.execCommand('copy'); } finally { area.remove(); }
  }
  root.addEventListener('click', event => {
    const button = event.target.closest('.dsl-copy');
    const row = button && button.closest('.dsl-result');
    const shown = row && row.querySelector('.dsl-result-text');
    if (!shown) return;
    const text = shown.textContent;
    if (navigator.clipboard && window.isSecureContext) navigator.clipboard.writeText(text).catch(() => old(text));
    else old(text);
    button.focus();
  });
  window.addEventListener('message', event => {
    const filler = event.data && event.data.dslFiller;
    const field = root.querySelector('.dsl-picked input');
    if (typeof filler !== 'string' || !field) return;
    if (![...root.querySelectorAll('iframe')].some(frame => frame.contentWindow === event.source)) return;
    field.value = filler;
    field.dispatchEvent(new Event('input', {bubbles: true}));
    field.dispatchEvent(new Event('change', {bubbles: true}));
  });
})(this)
