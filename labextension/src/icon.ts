/** A gauge: an arc and its needle, in the theme's own colour for icons. */
import { LabIcon } from '@jupyterlab/ui-components';

export const gaugeIcon = new LabIcon({
  name: 'tokmagic:gauge',
  svgstr: `<svg xmlns="http://www.w3.org/2000/svg" width="16" viewBox="0 0 24 24">
  <g fill="none" stroke-width="2" stroke-linecap="round">
    <path class="jp-icon3" stroke="#616161" d="M4.5 18a9 9 0 1 1 15 0"/>
    <path class="jp-icon3" stroke="#616161" d="M12 14l4.5-5.5"/>
  </g>
</svg>`
});
