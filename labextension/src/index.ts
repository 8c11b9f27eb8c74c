/** The extension: a panel in the sidebar, an item in the status bar, a command that opens the panel. */
import { ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { IStatusBar } from '@jupyterlab/statusbar';
import { Stores } from './channel';
import { gaugeIcon } from './icon';
import { GaugePanel, Subject } from './panel';
import { StatusItem } from './status';

const OPEN = 'tokmagic:open';

const plugin: JupyterFrontEndPlugin<void> = {
  id: 'tokmagic:panel',
  description: 'The token gauge of the active notebook’s kernel.',
  autoStart: true,
  // None of these is everywhere: Notebook 7 has no status bar, and no tracker on its list of files.
  optional: [INotebookTracker, ILayoutRestorer, ICommandPalette, IStatusBar],
  activate: (
    app: JupyterFrontEnd,
    tracker: INotebookTracker | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    statusBar: IStatusBar | null
  ) => {
    if (!tracker) {
      return;
    }
    const panel = new GaugePanel();
    app.shell.add(panel, 'right', { rank: 500 });
    restorer?.add(panel, panel.id);
    const open = (): void => {
      app.shell.activateById(panel.id);
    };
    app.commands.addCommand(OPEN, {
      label: 'Show Token Panel',
      caption: 'Show what is left, what it cost, what was cut and why it waits',
      icon: gaugeIcon,
      execute: open
    });
    palette?.addItem({ command: OPEN, category: 'tokmagic' });
    const status = new StatusItem(open);
    statusBar?.registerStatusItem(status.id, {
      item: status,
      align: 'right',
      rank: 100,
      isActive: () => status.active,
      activeStateChanged: status.activeChanged
    });
    follow(tracker, subject => {
      panel.display(subject);
      status.follow(subject?.source ?? null);
    });
  }
};

/** Tell which kernel the active notebook has, now and whenever that changes. */
function follow(tracker: INotebookTracker, show: (subject: Subject | null) => void): void {
  const stores = new Stores();
  const refresh = (): void => {
    const notebook = tracker.currentWidget;
    const kernel = notebook?.sessionContext.session?.kernel;
    show(notebook && kernel ? { title: notebook.title.label, kernel, source: stores.of(kernel) } : null);
  };
  const watch = (notebook: NotebookPanel): void => {
    const changed = (): void => {
      const kernel = notebook.sessionContext.session?.kernel;
      if (kernel) {
        stores.of(kernel);
      }
      refresh();
    };
    notebook.sessionContext.kernelChanged.connect(changed);
    notebook.title.changed.connect(refresh);
    changed();
  };
  tracker.forEach(watch);
  tracker.widgetAdded.connect((_, notebook) => {
    watch(notebook);
  });
  tracker.currentChanged.connect(refresh);
  refresh();
}

export default plugin;
