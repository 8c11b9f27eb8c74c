/**
 * The same component inside a notebook, as an anywidget.
 *
 * Its model syncs no numbers: they come as messages, so a saved notebook that is opened again shows none.
 */
import '../style/base.css';
import { Gauge, Hint } from './gauge';
import { ABSENT, read } from './snapshot';
import { Signboard } from './source';

/** The part of anywidget's model that is used. */
interface Model {
  on(event: 'msg:custom', callback: (message: unknown) => void): void;
  off(event: 'msg:custom', callback: (message: unknown) => void): void;
  send(message: { type: string }): void;
}

const NOT_LIVE: Hint = ['This gauge is not live. Run the cell again: ', { code: '%tokens panel' }];

function render({ model, el }: { model: Model; el: HTMLElement }): () => void {
  const board = new Signboard(ABSENT, () => {
    model.send({ type: 'hello' });
  });
  const gauge = new Gauge(board, NOT_LIVE);
  const take = (message: unknown): void => {
    const state = read(message, performance.now());
    if (state) {
      board.set(state);
    }
  };
  const sight = watchSight(el, visible => {
    gauge.visible = visible;
  });
  model.on('msg:custom', take);
  el.append(gauge.node);
  board.ask();
  return () => {
    model.off('msg:custom', take);
    sight.disconnect();
    gauge.dispose();
  };
}

/** Tell whether the element is scrolled into view on a page that is shown. */
function watchSight(el: HTMLElement, seen: (visible: boolean) => void): IntersectionObserver {
  const observer = new IntersectionObserver(entries => {
    seen(entries.some(entry => entry.isIntersecting));
  });
  observer.observe(el);
  return observer;
}

export default { render };
